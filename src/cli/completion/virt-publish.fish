# Completion of virt-publish for fish. Load it with: virt-publish completion fish | source

function __virt_publish_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (command $words[1] __complete -- $words[2..] 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path (commandline -ct)
            case ':dirs'
                __fish_complete_directories (commandline -ct)
            case '*'
                echo $line
        end
    end
end

complete -c virt-publish -f -a '(__virt_publish_complete)'

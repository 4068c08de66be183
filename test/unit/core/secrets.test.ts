// Secrets in text that is shown: every form in which URLs, QEMU, libvirt, S3 and HTTP have them.
import { describe, expect, it } from 'vitest';
import { failureJson, failureText } from '#built/cli/failure.js';
import { styleFor } from '#built/cli/views/style.js';
import { ERROR_CATALOGUE, ERROR_CODES } from '#built/core/error-catalogue.js';
import { PublishError, publicReason } from '#built/core/errors.js';
import { listener, type RunEvent } from '#built/core/events.js';
import { withoutSecrets } from '#built/core/secrets.js';
import { LibvirtError } from '#built/libvirt/errors.js';

const S = 'HUNTER2x9';

/** Where a secret stands, and what is shown. */
const FORMS: readonly (readonly [string, string])[] = [
  [`https://bob:${S}@host/x.img?token=${S}`, 'https://***@host/x.img?***'],
  [
    `'https://bob:${S}@127.0.0.1:1/x.img': Connection refused`,
    "'https://***@127.0.0.1:1/x.img': Connection refused",
  ],
  [`https://${S}@host:80/x`, 'https://***@host:80/x'],
  [`HTTPS://bob:a@${S}@host/x`, 'HTTPS://***@host/x'],
  [`https://bob:a/${S}@host/x`, 'https://***@host/x'],
  [`https://bob:a?${S}@host/x`, 'https://***@host/x'],
  [`https://bob:a"${S}'${S}@host/x`, 'https://***@host/x'],
  [`https://bob:${S}`, 'https://***@'],
  [`https:\\/\\/bob:${S}@host\\/x`, 'https:\\/\\/***@host\\/x'],
  [`(see https://host/x?X-Amz-Signature=${S}&b=${S}), then`, '(see https://host/x?***), then'],
  [`https://host/x#access_token=${S}`, 'https://host/x?***'],
  [
    `GET /b/k?X-Amz-Credential=${S}&X-Amz-Signature=${S} failed`,
    'GET /b/k?X-Amz-Credential=*** failed',
  ],
  [`ssh://root:${S}@host/x`, 'ssh://***@host/x'],
  [`iscsi://user%${S}@10.0.0.1/iqn.x/1`, 'iscsi://***@10.0.0.1/iqn.x/1'],
  [`rbd:pool/image:id=admin:key=${S}==:mon_host=h`, 'rbd:pool/image:id=admin:key=***'],
  [`ftp://u:${S}@h/x and http://v:${S}@h/y`, 'ftp://***@h/x and http://***@h/y'],
  [`http_proxy=http://u:${S}@proxy:3128`, 'http_proxy=http://***@proxy:3128'],
  [
    `json:{"driver":"https","password":"${S}","username":"u"}`,
    'json:{"driver":"https","password":"***","username":"u"}',
  ],
  [`json:{"file.password":"a\\"${S}"}`, 'json:{"file.password":"***"}'],
  [`json:{'driver':'https','cookie':'a=${S}; b=${S}'}`, "json:{'driver':'https','cookie':'***'}"],
  [
    `"json:{\\"proxy-password\\": \\"${S}\\", \\"a\\": 1}"`,
    '"json:{\\"proxy-password\\": \\"***\\", \\"a\\": 1}"',
  ],
  [
    `json:{"driver":"rbd","=keyvalue-pairs":"[\\"key\\", \\"${S}\\"]"}`,
    'json:{"driver":"rbd","=keyvalue-pairs":"***"}',
  ],
  [`{"secret": 12345, "tokens": ["${S}"], "x": 1}`, '{"secret": "***", "tokens": "***", "x": 1}'],
  [`json:{"driver":"https","password":"${S}`, 'json:{"driver":"https","password":"***"'],
  [`file.password=${S},file.driver=https`, 'file.password=***'],
  [`<cookie name='session'>${S}</cookie>`, "<cookie name='session'>***</cookie>"],
  [`<graphics type='vnc' passwd='${S} ${S}'/>`, "<graphics type='vnc' passwd='***'/>"],
  [`<secret>${S}</secret>`, '<secret>***</secret>'],
  [
    `qemu: -object secret,id=a,format=raw,data=${S} -x`,
    'qemu: -object secret,id=a,format=raw,data=*** -x',
  ],
  [`Authorization: AWS4-HMAC-SHA256 Credential=${S}, Signature=${S}`, 'Authorization: ***'],
  [`set-cookie: a=${S}; Path=/\nnext`, 'set-cookie: ***\nnext'],
  [`X-Auth-Token: ${S}`, 'X-Auth-Token: ***'],
  [`Bearer ${S}${S}`, 'Bearer ***'],
  [`password: ${S}`, 'password: ***'],
  [`AQ${'b'.repeat(36)}== is no key`, '*** is no key'],
];

/** What looks similar and must stay, since people need it. */
const HARMLESS = [
  'http://host:8080/a@b.img and nbd://[::1]:10809/x',
  'no domain "x" at qemu:///system?socket=/run/libvirt/sock: did you mean y?',
  'nbd+unix:///export?socket=/run/x.sock',
  'ssh://root@host/path, qemu+ssh://root@host/system',
  's3://bucket/prefix, rbd:pool/image:id=admin:mon_host=h',
  '--property <key=value>: it must be KEY=VALUE',
  "Secret not found: no secret with matching uuid 'x'",
  "<secret type='ceph' uuid='u'/> <host name='h'/>",
  'check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --profile).',
  'unexpected token: x; Basic authentication failed; see https://example.com/a.',
  '/var/lib/images/a?b=c.qcow2 is no file',
];

describe('withoutSecrets', () => {
  for (const [text, shown] of FORMS)
    it(`masks ${text.replaceAll(S, '…')}`, () => {
      expect(withoutSecrets(text)).toBe(shown);
      expect(withoutSecrets(shown)).toBe(shown);
    });

  for (const text of HARMLESS) it(`leaves ${text}`, () => expect(withoutSecrets(text)).toBe(text));

  it('masks a secret that is truncated anywhere', () => {
    for (const [text] of FORMS.filter(
      ([form]) => form.includes('"password"') || form.includes('='),
    )) {
      const end = text.indexOf(S) + S.length;
      for (let cut = end - 3; cut <= end; cut += 1)
        expect(withoutSecrets(text.slice(0, cut))).not.toContain(S.slice(0, 6));
    }
  });
});

describe('errors and events with foreign text', () => {
  const foreign = `Could not open 'https://bob:${S}@host/x?token=${S}'`;

  it('errors, their causes and undo failures contain no secret, as text and as JSON', () => {
    const libvirt = new LibvirtError({
      code: 1,
      domain: 10,
      call: 'virDomainCreate',
      message: foreign,
    });
    const error = new PublishError('MIRROR', `it failed: ${foreign}`, {
      cause: new Error(foreign, { cause: libvirt }),
      undoFailures: [
        new Error(foreign),
        new PublishError('LIBVIRT', foreign, { recoveryCommand: foreign }),
      ],
      recoveryCommand: `qemu-img info ${foreign}`,
    });
    for (const text of [
      failureText(error, styleFor({ isTTY: false })),
      JSON.stringify(failureJson(error)),
      failureText(new TypeError(foreign), styleFor({ isTTY: false })),
      `${error.message} ${error.stack} ${error.recoveryCommand} ${libvirt.message} ${libvirt.stack}`,
    ]) {
      expect(text).toContain('https://***@host/x?***');
      expect(text).not.toContain(S);
    }
  });

  it('events reach a listener with their secrets masked', () => {
    const events: RunEvent[] = [];
    const onEvent = listener((event) => events.push(event));
    onEvent({ type: 'note', level: 'debug', step: 'mirror', message: foreign });
    onEvent({ type: 'step', step: 'mirror', state: 'done', ms: 1, detail: foreign });
    onEvent({ type: 'step', step: 'mirror', state: 'started', detail: foreign });
    expect(events).toHaveLength(3);
    expect(JSON.stringify(events)).not.toContain(S);
  });
});

describe('publicReason', () => {
  it('is made of code, step and meaning, without the message', () => {
    const error = new PublishError('MIRROR', 'writing /var/lib/x failed: pid 7 on web01', {
      step: 'mirror',
    });
    expect(publicReason(error)).toBe('MIRROR (mirror): mirror failed, stalled or never converged');
    expect(publicReason(new PublishError('NO_SPACE', '/x'))).toBe('NO_SPACE: no space left');
    expect(publicReason(new Error('/var/lib/x'))).toBe('INTERNAL: internal error');
    for (const code of ERROR_CODES) expect(ERROR_CATALOGUE[code].meaning).not.toMatch(/\/|…/);
  });
});

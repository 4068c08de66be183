"""Takes an image of a domain as OpenStack's Nova and Glance do: the same commands in the same order.

usage: nova-way.py DOMAIN TARGET [--cold] [--compress]   (TARGET: a directory or s3://bucket/key)
The scratch directory is $BENCH_SCRATCH. Prints one JSON line a step, as virt-publish --json does.
After nova/virt/libvirt/driver.py (snapshot, _live_snapshot), glance_store's filesystem and s3
drivers. What is left out makes it faster than the original: the HTTP hop from Nova to Glance.
"""
import argparse
import hashlib
import io
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from xml.etree import ElementTree

import libvirt

MIB = 1024 * 1024
WRITE_CHUNK = 64 * 1024  # glance_store filesystem: filesystem_store_chunk_size
PART = 10 * MIB  # glance_store s3: s3_store_large_object_chunk_size
THREADS = 10  # glance_store s3: s3_store_thread_pools


@contextmanager
def step(name):
    started = time.monotonic()
    yield
    ms = (time.monotonic() - started) * 1000
    print(json.dumps({"type": "step", "step": name, "state": "done", "ms": ms}), flush=True)


def run(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("domain")
    parser.add_argument("target")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--compress", action="store_true")
    args = parser.parse_args()
    domain = libvirt.open("qemu:///system").lookupByName(args.domain)
    out = os.path.join(os.environ["BENCH_SCRATCH"], "nova-image")
    (cold if args.cold else live)(domain, out, args.compress)
    with step("upload"):
        (to_bucket if args.target.startswith("s3://") else to_directory)(out, args.target)
    os.unlink(out)


def disk_of(domain):
    disk = ElementTree.fromstring(domain.XMLDesc()).find("./devices/disk")
    return disk.find("target").get("dev"), disk.find("source").get("file")


def live(domain, out, compress):
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
    xml = domain.XMLDesc(flags)
    target, source = disk_of(domain)
    delta = out + ".delta"
    with step("delta"):
        info = json.loads(subprocess.check_output(
            ["qemu-img", "info", "--output=json", "--force-share", source]))
        options = "backing_file=%s,backing_fmt=%s,size=%d" % (
            info["full-backing-filename"], info["backing-filename-format"], info["virtual-size"])
        run("qemu-img", "create", "-f", "qcow2", "-o", options, delta)
    frozen = False
    try:
        with step("undefine"):
            domain.undefine()
        with step("mirror"):
            domain.blockRebase(target, delta, 0,
                               libvirt.VIR_DOMAIN_BLOCK_REBASE_COPY
                               | libvirt.VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT
                               | libvirt.VIR_DOMAIN_BLOCK_REBASE_SHALLOW)
            while not is_ready(domain, target):
                time.sleep(0.5)
        with step("quiesce"):
            domain.fsFreeze()
            frozen = True
            domain.blockJobAbort(target, 0)
            run("chown", str(os.getuid()), delta)
            domain = libvirt.open("qemu:///system").defineXML(xml)
            domain.fsThaw()
            frozen = False
    finally:
        if frozen:
            domain.fsThaw()
        if not domain.isPersistent():
            libvirt.open("qemu:///system").defineXML(xml)
    with step("convert"):
        convert(delta, out, compress)
    os.unlink(delta)


def is_ready(domain, target):
    status = domain.blockJobInfo(target, 0)
    if not status or status["cur"] != status["end"]:
        xml = ElementTree.fromstring(domain.XMLDesc())
        for disk in xml.findall("./devices/disk"):
            mirror = disk.find("mirror")
            if disk.find("target").get("dev") == target and mirror is not None:
                return mirror.get("ready") == "yes"
        raise RuntimeError("the block job of %s has ended" % target)
    return True


def cold(domain, out, compress):
    _, source = disk_of(domain)
    with step("down"):
        domain.managedSave(0)
        with step("convert"):
            convert(source, out, compress)
        domain.create()


def convert(source, out, compress):
    args = ["qemu-img", "convert", "-t", "none", "-O", "qcow2", "-f", "qcow2"]
    run(*args, *(["-c"] if compress else []), source, out)


def to_directory(path, directory):
    md5, sha512 = hashlib.md5(), hashlib.sha512()
    with open(path, "rb") as image, open(os.path.join(directory, "nova-image"), "wb") as stored:
        while chunk := image.read(WRITE_CHUNK):
            sha512.update(chunk)
            md5.update(chunk)
            stored.write(chunk)


def to_bucket(path, url):
    import boto3
    from botocore.config import Config

    bucket, key = url[len("s3://"):].split("/", 1)
    client = boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT"],
                          config=Config(s3={"addressing_style": "path"}, max_pool_connections=THREADS))
    md5, sha512 = hashlib.md5(), hashlib.sha512()
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]

    def send(number, chunk):
        etag = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number,
                                  Body=io.BytesIO(chunk))["ETag"]
        return {"PartNumber": number, "ETag": etag}

    with ThreadPoolExecutor(THREADS) as pool, open(path, "rb") as image:
        waiting, parts, number = [], [], 1
        while chunk := image.read(PART):
            sha512.update(chunk)
            md5.update(chunk)
            waiting.append(pool.submit(send, number, chunk))
            number += 1
            if len(waiting) > THREADS:
                parts.append(waiting.pop(0).result())
        parts += [each.result() for each in waiting]
    client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload,
                                     MultipartUpload={"Parts": parts})


main()

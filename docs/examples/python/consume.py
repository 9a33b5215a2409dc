#!/usr/bin/env python3
"""Prints the events of an aggregate type, one JSON object a line, knowing nothing but the AsyncAPI document.

    pip install -r requirements.txt
    python consume.py order                      # what has happened to orders, and goes on
    python consume.py order --until-end          # what has happened so far
    python consume.py order --group billing      # goes on where this group was

The document is asked of a running cqrsflow (--asyncapi URL; CQRSFLOW_TOKEN has a token), or read from a file (--asyncapi FILE).
"""
import argparse
import json
import os
import pathlib
import signal
import sys
import tempfile
import urllib.request

import grpc_tools
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_tools import protoc


def load(where):
    if where.startswith(("http://", "https://")):
        request = urllib.request.Request(where, headers={"Authorization": "Bearer " + os.environ.get("CQRSFLOW_TOKEN", "")})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    return json.loads(pathlib.Path(where).read_text())


def compile_files(document):
    """Compiles the document's .proto files, and returns a pool that knows all messages."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for schema in document["components"]["schemas"].values():
            if "x-file" in schema:
                path = pathlib.Path(folder, schema["x-file"])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(schema["schema"])
                paths.append(str(path))
        out = pathlib.Path(folder, "descriptors")
        google = pathlib.Path(grpc_tools.__file__).parent / "_proto"
        if protoc.main(["protoc", f"-I{folder}", f"-I{google}", "--include_imports", f"--descriptor_set_out={out}", *sorted(paths)]) != 0:
            sys.exit("the document's .proto files do not compile")
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:  # protoc puts a file after what it imports
        pool.Add(file)
    return pool


def messages(document, channel, pool):
    """Maps each ce_type of a channel to the class that reads its body."""
    classes = {}
    for name, ref in channel["messages"].items():
        message = document["components"]["messages"][ref["$ref"].rsplit("/", 1)[1]]
        descriptor = pool.FindMessageTypeByName(message["x-protobuf"]["message"])
        classes[name] = message_factory.GetMessageClass(descriptor)
    return classes


def event_of(record, classes):
    headers = {name: value.decode() for name, value in record.headers() or []}
    kind = headers.get("ce_type")
    if kind not in classes:
        return None  # a later version of cqrsflow may have more
    body = classes[kind].FromString(record.value())
    return {
        "id": headers["ce_id"],
        "stream": record.key().decode(),
        "sequence": int(headers["ce_streamversion"]),
        "type": kind,
        "time": headers["ce_time"],
        "data": json_format.MessageToDict(body),
    }


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("aggregate", help="the aggregate type, such as order")
    args.add_argument("--brokers", default="127.0.0.1:9092")
    args.add_argument("--asyncapi", default="http://127.0.0.1:8080/asyncapi.json", help="a URL, or a file")
    args.add_argument("--group", help="consumer group: acknowledges, and goes on where it was")
    args.add_argument("--until-end", action="store_true", help="stop at the end that the topic has now")
    args = args.parse_args()

    document = load(args.asyncapi)
    channel = document["channels"].get(f"{args.aggregate}.events")
    if channel is None:
        sys.exit(f"there is no aggregate {args.aggregate!r} in {args.asyncapi}")
    classes = messages(document, channel, compile_files(document))
    topic = channel["address"]

    consumer = Consumer({
        "bootstrap.servers": args.brokers,
        "group.id": args.group or "cqrsflow-example",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",  # what was rolled back has never happened
        "enable.partition.eof": True,
    })
    found = consumer.list_topics(topic, timeout=10).topics[topic]
    if found.error is not None:
        sys.exit(f"topic {topic}: {found.error}")
    if args.group:
        consumer.subscribe([topic])
    else:
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in found.partitions])

    stopped = []
    signal.signal(signal.SIGINT, lambda *_: stopped.append(True))
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    at_end = set()
    try:
        while not stopped and not (args.until_end and len(at_end) == len(found.partitions)):
            record = consumer.poll(0.5)
            if record is None:
                continue
            if record.error() is not None:
                if record.error().code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(record.error())
                at_end.add(record.partition())
                continue
            event = event_of(record, classes)
            if event is not None:
                print(json.dumps(event), flush=True)  # here goes what you do with it
            if args.group:
                consumer.commit(record, asynchronous=False)
    finally:
        consumer.close()


if __name__ == "__main__":
    main()

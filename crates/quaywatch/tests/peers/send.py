"""Sends one line by each client that the makers of the formats ship, and prints what was sent."""

import json
import logging
import sys
import time
import urllib.request

import boto3
import grpc
from elasticsearch import Elasticsearch, helpers
from fluent import sender
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as over_grpc
from opentelemetry.exporter.otlp.proto.http import _log_exporter as over_http
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

otlp, loki, elasticsearch, aws, fluentd = (int(port) for port in sys.argv[1:])


def sent(line):
    print("sent", line)


for name, exporter in {
    "grpc": over_grpc.OTLPLogExporter(endpoint=f"http://127.0.0.1:{otlp}", insecure=True),
    "grpc-gzip": over_grpc.OTLPLogExporter(
        endpoint=f"http://127.0.0.1:{otlp}", insecure=True, compression=grpc.Compression.Gzip
    ),
    "http": over_http.OTLPLogExporter(
        endpoint=f"http://127.0.0.1:{otlp}/v1/logs", compression=over_http.Compression.Gzip
    ),
    "http-deflate": over_http.OTLPLogExporter(
        endpoint=f"http://127.0.0.1:{otlp}/v1/logs", compression=over_http.Compression.Deflate
    ),
}.items():
    provider = LoggerProvider(resource=Resource.create({"service.name": "pay", "container.name": "pay"}))
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = logging.getLogger(name)
    logger.addHandler(LoggingHandler(logger_provider=provider))
    line = f"opentelemetry over {name} says hello"
    logger.warning(line, extra={"order": 7})
    assert provider.force_flush(10_000), name
    provider.shutdown()
    sent(line)


def cloudwatch(secret):
    return boto3.client(
        "logs",
        endpoint_url=f"http://127.0.0.1:{aws}",
        region_name="eu-central-1",
        aws_access_key_id="AKIA",
        aws_secret_access_key=secret,
    )


def put(client, message):
    event = {"timestamp": int(time.time() * 1000), "message": message}
    client.put_log_events(logGroupName="group", logStreamName="stream", logEvents=[event])


client = cloudwatch("made-up-for-tests")
client.create_log_group(logGroupName="group")
client.create_log_stream(logGroupName="group", logStreamName="stream")
try:
    client.create_log_stream(logGroupName="group", logStreamName="stream")
    raise AssertionError("a stream was made twice")
except client.exceptions.ResourceAlreadyExistsException:
    pass
streams = client.describe_log_streams(logGroupName="group")["logStreams"]
assert [stream["logStreamName"] for stream in streams] == ["stream"], streams
put(client, "boto3 says hello")
sent("boto3 says hello")
try:
    put(cloudwatch("another"), "nobody should see this")
    raise AssertionError("a wrong signature was taken")
except client.exceptions.ClientError as error:
    assert error.response["Error"]["Code"] == "InvalidSignatureException", error

search = Elasticsearch(f"http://127.0.0.1:{elasticsearch}")
assert search.info()["tagline"]
documents = [
    {
        "_index": "logs-shop",
        "_op_type": operation,
        "@timestamp": "2026-11-21T08:00:00.5Z",
        "message": f"elasticsearch {operation} says hello",
        "log": {"level": "error"},
        "container": {"name": "shop"},
    }
    for operation in ("create", "index")
]
taken, errors = helpers.bulk(search, documents)
assert (taken, errors) == (2, []), errors
for document in documents:
    sent(document["message"])
assert search.index(index="logs-shop", document={"message": "one document says hello"})["result"] == "created"
sent("one document says hello")

push = {
    "streams": [
        {
            "stream": {"container": "shop", "host": "node-1", "level": "info"},
            "values": [[str(time.time_ns()), "loki says hello", {"trace_id": "1"}]],
        }
    ]
}
request = urllib.request.Request(
    f"http://127.0.0.1:{loki}/loki/api/v1/push",
    json.dumps(push).encode(),
    {"content-type": "application/json"},
)
assert urllib.request.urlopen(request, timeout=10).status == 204
sent("loki says hello")

logger = sender.FluentSender("shop", host="127.0.0.1", port=fluentd, nanosecond_precision=True)
assert logger.emit("web", {"message": "fluent-logger says hello", "number": 1}), logger.last_error
logger.close()
sent("fluent-logger says hello")

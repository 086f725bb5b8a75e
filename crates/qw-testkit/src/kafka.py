"""A cluster of Kafka as librdkafka plays it for its own tests, and librdkafka's consumer.

Prints `BROKERS host:port,…`, then each message of the topics named as arguments as one line of JSON.
"""

import json
import sys

from confluent_kafka import Consumer, Producer

cluster = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 3})
for topic in sys.argv[1:]:
    cluster.list_topics(topic, timeout=30)
brokers = ",".join(f"{broker.host}:{broker.port}" for broker in cluster.list_topics(timeout=30).brokers.values())
print("BROKERS", brokers, flush=True)
consumer = Consumer({"bootstrap.servers": brokers, "group.id": "reader", "auto.offset.reset": "earliest", "enable.auto.commit": False})
consumer.subscribe(sys.argv[1:])
while True:
    message = consumer.poll(1)
    if message is None or message.error():
        continue
    entry = {
        "topic": message.topic(),
        "partition": message.partition(),
        "key": (message.key() or b"").decode(),
        "value": message.value().decode(),
        "time": message.timestamp()[1],
    }
    print(json.dumps(entry), flush=True)

"""Asks RabbitMQ with the usual client: `declare QUEUE`, `read QUEUE` (one JSON per message, which stay)."""

import json
import sys

import pika

port, operation, queue = sys.argv[1:]
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(port)))
channel = connection.channel()
if operation == "declare":
    channel.queue_declare(queue, durable=True)
else:
    while True:
        method, properties, body = channel.basic_get(queue)
        if method is None:
            break
        entry = {
            "body": body.decode(),
            "id": properties.message_id,
            "type": properties.content_type,
            "mode": properties.delivery_mode,
        }
        print(json.dumps(entry))
connection.close()

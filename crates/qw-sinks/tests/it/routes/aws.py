"""Asks a server that speaks as Amazon does, with Amazon's own client.

`user` makes a user and prints key and secret; moto checks signatures from then on (the address
`/moto-api/reset-auth` begins to count requests). The others end with key and secret:
`bucket NAME`, `objects BUCKET PREFIX` (JSON), `events GROUP STREAM` (lines).
"""

import json
import sys
import urllib.request

import boto3

url, operation, *arguments = sys.argv[1:]


def client(service, key="none", secret="none"):
    return boto3.client(service, endpoint_url=url, region_name="eu-central-1", aws_access_key_id=key, aws_secret_access_key=secret)


if operation == "user":
    iam = client("iam")
    iam.create_user(UserName="quaywatch")
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_user_policy(UserName="quaywatch", PolicyName="all", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName="quaywatch")["AccessKey"]
    request = urllib.request.Request(f"{url}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}, method="POST")
    urllib.request.urlopen(request).read()
    print(key["AccessKeyId"], key["SecretAccessKey"])
elif operation == "bucket":
    name, *credentials = arguments
    client("s3", *credentials).create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
elif operation == "objects":
    bucket, prefix, *credentials = arguments
    s3 = client("s3", *credentials)
    objects = []
    for entry in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
        body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
        objects.append({"key": entry["Key"], "hex": body.hex()})
    print(json.dumps(objects))
elif operation == "events":
    group, stream, *credentials = arguments
    events = client("logs", *credentials).get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
    for event in events:
        print(event["message"])
else:
    sys.exit(f"unknown: {operation}")

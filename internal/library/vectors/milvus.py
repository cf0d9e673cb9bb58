"""Version 2 of Milvus's REST interface, over Milvus Lite, which has gRPC only. For tests.

python3 milvus.py PORT FILE serves it at http://127.0.0.1:PORT. It translates names and no meaning: filters, vectors and
limits are handed on as they come.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from pymilvus import DataType, MilvusClient

client = MilvusClient(sys.argv[2])
TYPES = {"VarChar": DataType.VARCHAR, "FloatVector": DataType.FLOAT_VECTOR, "Array": DataType.ARRAY}


def create(name, body):
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    for field in body["schema"]["fields"]:
        more = {k: int(v) for k, v in field.get("elementTypeParams", {}).items()}
        if field.get("elementDataType"):
            more["element_type"] = TYPES[field["elementDataType"]]
        schema.add_field(field["fieldName"], TYPES[field["dataType"]], is_primary=field.get("isPrimary", False), **more)
    index = client.prepare_index_params()
    for x in body["indexParams"]:
        index.add_index(field_name=x["fieldName"], index_name=x["indexName"], metric_type=x["metricType"],
                        index_type=x["indexType"])
    client.create_collection(name, schema=schema, index_params=index)
    client.load_collection(name)
    return {}


def search(name, body):
    found = client.search(name, data=body["data"], anns_field=body["annsField"], limit=body["limit"],
                          filter=body["filter"], output_fields=body["outputFields"])
    return [x["entity"] for x in found[0]]


CALLS = {
    "collections/has": lambda n, b: {"has": client.has_collection(n)},
    "collections/create": create,
    "entities/upsert": lambda n, b: client.upsert(n, b["data"]) and {},
    "entities/delete": lambda n, b: client.delete(n, filter=b["filter"]) and {},
    "entities/search": search,
    "entities/query": lambda n, b: [dict(x) for x in client.query(n, filter=b["filter"], output_fields=b["outputFields"])],
}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            call = CALLS[self.path.removeprefix("/v2/vectordb/")]
            answer = {"code": 0, "data": call(body["collectionName"], body) or {}}
            if isinstance(answer["data"], dict) and self.path.endswith(("search", "query")):
                answer["data"] = []
        except Exception as fault:  # as the interface does: status 200 and a code
            answer = {"code": 1100, "message": str(fault)}
            print(self.path, fault, file=sys.stderr)
        data = json.dumps(answer, default=str).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

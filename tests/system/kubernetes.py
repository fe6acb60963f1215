"""Prints the documents of YAML files as one JSON list, after each was checked against the schema of its kind."""

import json
import sys

import kubernetes_validate
import yaml

documents = []
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        for document in yaml.safe_load_all(file):
            kubernetes_validate.validate(document, "1.30", strict=True)
            documents.append(document)
print(json.dumps(documents))

"""`forwarder check` refuses every natural mistake that can be known offline, and warns about what is unwise."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from forwarder.cli.main import main
from forwarder.core import redaction
from forwarder.core.catalogue import RELEASE
from tests.child_processes import child
from tests.stack.forwarder import FORWARDER, ForwarderProcess
from tests.waiting import until

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
STRONG = base64.b64encode(bytes(range(100, 132))).decode()

GOOD = """
orgs:
  acme:
    url: https://acme.okta.com
    path: /okta/events
    header: Authorization
    secrets: [{env: ACME_SECRET}]
    api: {token: {file: HERE/token}}
    hook: {uri: https://hooks.acme.com/okta/events, events: security}
receiver: {listen: 127.0.0.1:8080}
store: {path: HERE/store/forwarder.db}
sinks:
  siem: {kind: elasticsearch, hosts: [https://es.internal:9200], api_key: {env: ES_KEY}}
  traces: {kind: otlp, endpoint: "http://127.0.0.1:4318"}
  archive: {kind: file, path: HERE/archive/okta.ndjson}
ops: {listen: 127.0.0.1:9464}
"""

RECEIVER = "listen: 127.0.0.1:8080"
URL = "https://acme.okta.com"
ES = "https://es.internal:9200"
KEY = "api_key: {env: ES_KEY}"
OTLP = '"http://127.0.0.1:4318"'
ARCHIVE = "HERE/archive/okta.ndjson"
STORE = "HERE/store/forwarder.db"
SECRET = "{env: ACME_SECRET}"
TOKEN = "{token: {file: HERE/token}}"
EVENTS = "events: security"
API = f"    api: {TOKEN}\n"
OPS = "ops: {listen: 127.0.0.1:9464}"


def zone(keys: str, egress: str = "203.0.113.7") -> str:
    return f"{API}    egress: [{egress}]\n    zones: {{z: {{{keys}}}}}\n"


OKTA_RULE = """title: Sessions
id: 3b1f2a5e-2a5e-4d7c-9f0e-0f6f1a2b3c4d
logsource: {product: okta, service: okta}
detection:
  selection: {eventType|startswith: user.session}
  condition: selection
"""


ENDED = """---
title: On holiday
logsource: {product: okta, service: okta}
filter: {rules: any, selection: {actor.type: User}, condition: not selection}
until: 2026-01-31
"""
LONG = """---
title: Many sessions
correlation: {type: event_count, rules: 3b1f2a5e-2a5e-4d7c-9f0e-0f6f1a2b3c4d, timespan: 8d, condition: {gte: 3}}
"""


def tls(cert: str, key: str) -> str:
    return f"{RECEIVER}, tls: {{cert: HERE/{cert}, key: HERE/{key}}}"


# What is written, what is written by mistake, and how the refusal begins.
MISTAKES = {
    "no scheme": (URL, "acme.okta.com", "orgs.acme.url: is not the URL of an org"),
    "the admin console": (URL, "https://acme-admin.okta.com", "orgs.acme.url: "),
    "plain http to Okta": (URL, "http://acme.okta.com", "orgs.acme.url: "),
    "an issuer as url": (URL, "https://acme.okta.com/oauth2/default", "orgs.acme.url: "),
    "no org": (URL, "https://www.okta.com", "orgs.acme.url: is not the URL of an org"),
    "a header of HTTP": ("header: Authorization", "header: Content-Type", "orgs.acme.header: this header has another meaning in HTTP"),
    "a wildcard in a path": ("path: /okta/events", "path: /okta/*", "orgs.acme.path: must not contain `*`: a path has no wildcards"),
    "a date in a path": (ARCHIVE, "HERE/archive/okta-%Y-%m-%d.ndjson", "sinks.archive.path: the path has a variable or a date format"),
    "a variable in a path": (ARCHIVE, '"${LOGS}/okta.ndjson"', "sinks.archive.path: the path has a variable or a date format"),
    "a port too high": (URL, "https://acme.okta.com:99999", "orgs.acme.url: is not a URL"),
    "half a bracket": (URL, '"https://[::1"', "orgs.acme.url: is not a URL"),
    "a password in the url": (URL, "https://me:hunter2@acme.okta.com", "orgs.acme.url: the URL has a user or a password"),
    "an event type with a typo": (EVENTS, "events: [user.session.strat]", "orgs.acme.hook.events[0]: unknown event type"),
    "an ineligible type": (EVENTS, "events: [user.session.impersonation.grant]", "orgs.acme.hook.events[0]: hooks do not carry"),
    "rules without files": (EVENTS, "events: rules", "orgs.acme.hook: `events: rules` needs rule files"),
    "rules that are not there": (EVENTS, "events: rules, rules: [HERE/nothing]", "orgs.acme.hook.rules: HERE/nothing"),
    "an empty folder of rules": (EVENTS, "events: rules, rules: [HERE/rules]", "orgs.acme.hook.rules: HERE/rules: contains no rule"),
    "a hook without api": (f"    api: {TOKEN}\n", "", "orgs.acme.api: is required for `hook`"),
    "a country that is none": (API, zone("countries: [Atlantis]"), "orgs.acme.zones.z.countries[0]: 'Atlantis' is not a country"),
    "Norway without quotes": (API, zone("countries: [NO]"), "orgs.acme.zones.z.countries[0]: is False"),
    "a zone that blocks the forwarder": (API, zone("ips: [203.0.113.0/24]"), "orgs.acme.zones.z.ips: 203.0.113.0/24 would block egress"),
    "a zone of all addresses": (API, zone("ips: [0.0.0.0/0]"), "orgs.acme.zones.z.ips[0]: '0.0.0.0/0' contains every address"),
    "all IPv6 addresses as a range": (API, zone("ips: ['::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff']"), "orgs.acme.zones.z.ips[0]: '::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff' contains every address"),
    "a category in small letters": (API, zone("services: [tor]"), "orgs.acme.zones.z.services[0]: 'tor' is not a category of IP services; write it in capitals"),
    "a hook by plain http": ("https://hooks.acme", "http://hooks.acme", "orgs.acme.hook.uri: must begin with https://"),
    "text for a certificate": (RECEIVER, tls("text", "key.pem"), "receiver.tls.cert: HERE/text is not PEM; write the certificate in PEM"),
    "another one's key": (RECEIVER, tls("cert.pem", "soon.key"), "receiver.tls.key: HERE/soon.key does not belong to the certificate"),
    "certificate and key exchanged": (RECEIVER, tls("key.pem", "cert.pem"), "receiver.tls.cert: "),
    "an encrypted key": (RECEIVER, tls("cert.pem", "locked.key"), "receiver.tls.key: HERE/locked.key has a password; write the key without one"),
    "an expired certificate": (RECEIVER, tls("old.pem", "old.key"), "receiver.tls.cert: the certificate in HERE/old.pem has expired"),
    "folders for files": (RECEIVER, tls("rules", "rules"), "receiver.tls.cert: HERE/rules cannot be read"),
    "no path": (RECEIVER, f"{RECEIVER}, tls: {{cert: '', key: ''}}", "receiver.tls.cert: is not a path"),
    "a path with NUL": (RECEIVER, f'{RECEIVER}, tls: {{cert: "a\\0", key: b}}', "receiver.tls.cert: is not a path"),
    "a home folder": (STORE, "~/forwarder.db", "store.path: the forwarder does not replace `~`"),
    "text for a CA": (KEY, f"{KEY}, ca_file: HERE/text", "sinks.siem.ca_file: HERE/text is not PEM"),
    "an empty CA": (KEY, f"{KEY}, ca_file: HERE/empty", "sinks.siem.ca_file: HERE/empty is empty"),
    "an expired CA": (KEY, f"{KEY}, ca_file: HERE/old.pem", "sinks.siem.ca_file: the certificate in HERE/old.pem has expired"),
    "a key for a CA": (KEY, f"{KEY}, ca_file: HERE/key.pem", "sinks.siem.ca_file: "),
    "a client certificate alone": (OTLP, "https://c:4318, cert_file: HERE/cert.pem", "sinks.traces: set both `cert_file` and `key_file`, or neither"),
    "an expired client certificate": (OTLP, "https://c:4318, cert_file: HERE/old.pem, key_file: HERE/old.key", "sinks.traces.cert_file: "),
    "a folder that is not there": (STORE, "HERE/nothing/forwarder.db", "store.path: there is no folder HERE/nothing"),
    "a folder that nobody can write to": (STORE, "/proc/forwarder.db", "store.path: this user cannot write to /proc"),
    "a folder where the store has its socket": (STORE, "HERE/busy/forwarder.db", "store.path: HERE/busy/forwarder.db.control is a folder"),
    "a link for a lock": (STORE, "HERE/linked/forwarder.db", "store.path: the lock file HERE/linked/forwarder.db.lock is a link"),
    "a folder as store": (STORE, "HERE/store", "store.path: HERE/store is not a regular file"),
    "another file as store": (STORE, "HERE/text", "store.path: HERE/text is not a store of the forwarder"),
    "the WAL as archive": (ARCHIVE, "HERE/store/forwarder.db-wal", "sinks.archive.path: this file is a file of the store"),
    "the shared memory as archive": (ARCHIVE, "HERE/store/forwarder.db-shm", "sinks.archive.path: this file is a file of the store"),
    "the lock as archive": (ARCHIVE, "HERE/store/forwarder.db.lock", "sinks.archive.path: this file is a file of the store"),
    "the socket as archive": (ARCHIVE, "HERE/store/forwarder.db.control", "sinks.archive.path: this file is a file of the store"),
    "the store as archive, by another way": (ARCHIVE, "HERE/rules/../link/forwarder.db", "sinks.archive.path: this file is a file of the store"),
    "a folder as archive": (ARCHIVE, "HERE/rules", "sinks.archive.path: HERE/rules is not a file"),
    "an archive where nobody can write": (ARCHIVE, "/proc/x/okta.ndjson", "sinks.archive.path: this user cannot write"),
    "the root as archive": (ARCHIVE, "/", "sinks.archive.path: / is not a file"),
    "an archive below a file": (ARCHIVE, "HERE/text/okta.ndjson", "sinks.archive.path: HERE/text is not a folder"),
    "an archive at a loop of links": (ARCHIVE, "HERE/loop", "sinks.archive.path: HERE/loop cannot be used (Too many levels of"),
    "an archive below a loop of links": (ARCHIVE, "HERE/loop/okta.ndjson", "sinks.archive.path: HERE/loop/okta.ndjson cannot be used"),
    "a name too long": (ARCHIVE, "HERE/" + "x" * 256, "sinks.archive.path: "),
    "a name too long for its lock file": (ARCHIVE, "HERE/" + "x" * 252, "sinks.archive.path: HERE/" + "x" * 252 + ".lock cannot be used (File"),
    "a name too long for rotated files": (ARCHIVE, "HERE/" + "x" * 240, "sinks.archive.path: HERE/" + "x" * 240 + "-2026"),
    "an archive whose lock file is a folder": (ARCHIVE, "HERE/held", "sinks.archive.path: its lock file, HERE/held.lock, is a link, or"),
    "the configuration as archive": (ARCHIVE, "HERE/rules/../forwarder.yaml", "sinks.archive.path: the configuration reads this file"),
    "a rule as archive": (f"{ARCHIVE}}}", "HERE/folder/good.yml}\nrules: {files: [HERE/folder]}", "sinks.archive.path: the configuration reads this file"),
    "the lock of an archive as store": (STORE, "HERE/archive/okta.ndjson.lock", "sinks.archive.path: its lock file, HERE/archive/okta.ndjson.lock, is used"),
    "the lock of an archive as archive": ("  archive:", f"  again: {{kind: file, path: {ARCHIVE}.lock}}\n  archive:", "sinks.archive.path: its lock file, HERE/archive/okta.ndjson.lock, is used"),
    "one archive twice, by a hard link": ("  archive:", "  again: {kind: file, path: HERE/twin}\n  one: {kind: file, path: HERE/text}\n  archive:", "sinks.one.path: sinks.again writes the same file"),
    "a secret as archive, by a hard link": (ARCHIVE, "HERE/token2", "sinks.archive.path: the configuration reads this file"),
    "a secret as archive": (ARCHIVE, "HERE/token", "sinks.archive.path: the configuration reads this file"),
    "one archive twice": ("  archive:", "  again: {kind: file, path: HERE/rules/../archive/okta.ndjson}\n  archive:", "sinks.archive.path: sinks.again writes the same file"),
    "a variable that is not set": (SECRET, "{env: NOT_SET}", "orgs.acme.secrets[0]: the environment variable NOT_SET is not set"),
    "an empty variable": (SECRET, "{env: EMPTY}", "orgs.acme.secrets[0]: the secret in env EMPTY is empty"),
    "a variable of the shell": (SECRET, '"${ACME_SECRET}"', "orgs.acme.secrets[0]: the value contains a variable"),
    "the id of a user as that of a token": (TOKEN, "{token: {file: HERE/token}, token_id: 00u1ab}", "orgs.acme.api.token_id: is not the id of a token"),
    "a line break behind a path": (STORE, '"HERE/store/forwarder.db\\n"', "store.path: the path begins or ends with a blank"),
    "a blank before a path": (ARCHIVE, '" HERE/archive/okta.ndjson"', "sinks.archive.path: the path begins or ends with a blank"),
    "a new folder as archive": (ARCHIVE, "HERE/nothing/", "sinks.archive.path: ends with `/`"),
    "a new folder as store": (STORE, "HERE/nothing/", "store.path: ends with `/`"),
    "the path of traces": (OTLP, '"http://127.0.0.1:4318/v1/traces"', "sinks.traces.endpoint: is for traces"),
    "a variable with a default": (KEY, 'api_key: "${ES_KEY:?is not set}"', "sinks.siem.api_key: the value contains a variable"),
    "a variable after the scheme": (OTLP, f'{OTLP}, headers: {{authorization: "Bearer ${{OTLP_TOKEN}}"}}', "sinks.traces.headers.authorization: the value contains a variable"),
    "a template as secret": (SECRET, '"{{ okta_secret }}"', "orgs.acme.secrets[0]: the value contains a variable"),
    "a source in quotes": (SECRET, '"{env: ACME_SECRET}"', "orgs.acme.secrets[0]: the value is a string, not a mapping"),
    "a source as JSON in quotes": (KEY, """api_key: '{"file":"/run/secrets/es"}'""", "sinks.siem.api_key: the value is a string, not a mapping"),
    "a variable as user": (KEY, 'basic_auth: {username: "${ES_USER}", password: x}', "sinks.siem.basic_auth.username: the value contains a variable"),
    "a variable in a tag": (KEY, f'{KEY}, tags: [okta, "${{ENVIRONMENT}}"]', "sinks.siem.tags[1]: the value contains a variable"),
    "a variable in the name of the hook": (EVENTS, f'{EVENTS}, name: "forwarder-${{ENV}}"', "orgs.acme.hook.name: the value contains a variable"),
    "a template as namespace": (KEY, f'{KEY}, namespace: "{{{{env}}}}"', "sinks.siem.namespace: the value contains a variable"),
    "a secret that cannot be sent": (SECRET, '"\\ud800x"', "HERE/forwarder.yaml: line "),
    "a secret that is no text": (TOKEN, "{token: {file: HERE/binary}}", "orgs.acme.api.token: the file HERE/binary cannot be read"),
    "a folder as secret": (TOKEN, "{token: {file: HERE/rules}}", "orgs.acme.api.token: the file HERE/rules cannot be read"),
    "a template": (OPS, "log: {{ level }}", "HERE/forwarder.yaml: line "),
    "a list as key": (OPS, "? [a, b]", "HERE/forwarder.yaml: line "),
    "a date that does not exist": (OPS, "x: 2024-99-99", "HERE/forwarder.yaml: line "),
    "a tab": (OPS, "\tops: {}", "HERE/forwarder.yaml: line "),
    "an octal number": (RECEIVER, f"{RECEIVER}, max_connections: 022", "HERE/forwarder.yaml: line 10, column 53: YAML reads a number that begins with 0 as an octal number"),
    "a star without quotes": (EVENTS, "events: [*]", "HERE/forwarder.yaml: line 9, column 63: expected alphabetic or numeric character, but found ']'; put a value that has such a character into quotes"),
    "an @ without quotes": (OPS, "ops: @x", "HERE/forwarder.yaml: line 16, column 6: found character '@' that cannot start any token; put"),
    "no blank after a colon": ("header: Authorization", "header:Authorization", "HERE/forwarder.yaml: line 6, column 5: could not find expected ':'; write a blank after the colon of a key"),
    "no blank after the first colon": (f"url: {URL}", f"url:{URL}", "HERE/forwarder.yaml: line 5, column 9: mapping values are not allowed here; put a value that contains `: ` into quotes, check the indentation of the line, and write a blank after the colon of the key before it"),
    "a tag of another tool": (SECRET, "!vault x", "HERE/forwarder.yaml: line 7, column 15: could not determine a constructor for the tag; YAML tags are not read"),
    "a backslash in quotes": (ARCHIVE, '"C:\\secrets"', "HERE/forwarder.yaml: line 15, column 35: found unknown escape character 's'; write a path with backslashes in single quotes"),
    "a boolean that is none": (OPS, "x: !!bool hunter2", "HERE/forwarder.yaml: line 16, column 4: cannot be read as true or false"),
    "a date that is none": (OPS, "x: !!timestamp hunter2", "HERE/forwarder.yaml: line 16, column 4: cannot be read as a date"),
    "a number that is none": (OPS, "x: !!int hunter2", "HERE/forwarder.yaml: line 16, column 4: cannot be read as a number"),
    "a host with two dots": (RECEIVER, "listen: a..b:8080", "receiver.listen: 'a..b:8080' is not an address"),
    "a host with a long label": (RECEIVER, f"listen: {'a' * 64}:8080", "receiver.listen: "),
    "a long name of a file": (ARCHIVE, f"HERE/{'n' * 256}", "sinks.archive.path: a file or folder name in the path is longer than 255 bytes"),
    "two documents": (OPS, f"---\n{OPS}", "HERE/forwarder.yaml: line 16, column 1: but found another document; a configuration is one document"),
    "a secret for the name of its variable": (SECRET, "{env: aB3hunter2}", "orgs.acme.secrets[0]: the value of `env` is not the name of an environment variable"),
    "a source without a blank": (SECRET, "env:ACME_SECRET", "orgs.acme.secrets[0]: the value is a string, not a mapping"),
    "a path for a secret": (SECRET, "HERE/token", "orgs.acme.secrets[0]: the value is the path of a file, not a secret"),
    "a URL for a path": (ARCHIVE, "s3://bucket/okta.ndjson", "sinks.archive.path: is a URL"),
    "a node twice": (ES, "https://es, https://es:443/", "sinks.siem.hosts: lists the same node twice"),
    "a time that is too short": (RECEIVER, f"{RECEIVER}, header_timeout: 0.005ms", "receiver.header_timeout: '0.005ms' is too small"),
    "a blank secret": (SECRET, "{file: HERE/blank}", "orgs.acme.secrets[0]: the secret in file HERE/blank is empty"),
    "a key twice": (OPS, f"{OPS}\n{OPS}", "HERE/forwarder.yaml: line "),
    "lists without end": (
        OPS,
        "x: " + "[" * 5000,
        "HERE/forwarder.yaml: line 16, column 104: lists or mappings are nested too deeply; use fewer levels",
    ),
    "blocks without end": (OPS, "x:\n " + "- " * 5000, "HERE/forwarder.yaml: is nested too deeply"),
    "a key with a typo": (RECEIVER, "lisen: 127.0.0.1:8080", "receiver.lisen: unknown key; did you mean `listen`?"),
    "a size without a unit": (RECEIVER, f"{RECEIVER}, max_body: 10", "receiver.max_body: 10 is not a size"),
    "a size of 400 digits": (RECEIVER, f"{RECEIVER}, max_body: {'9' * 400}MiB", "receiver.max_body: "),
    "a time without a unit": (KEY, f"{KEY}, retention: 90", "sinks.siem.retention: 90 is not a time"),
    "a negative limit": (RECEIVER, f"{RECEIVER}, max_connections: -96", "receiver.max_connections: "),
    "a limit beyond all bounds": (RECEIVER, f"{RECEIVER}, max_connections: 99999999999999999999", "receiver.max_connections: "),
    "a wait that never grows": (KEY, f"{KEY}, delivery: {{backoff_base: 10m, backoff_cap: 1s}}", "sinks.siem.delivery.backoff_base: "),
    "a rule with an unknown modifier": (OPS, "rules: {files: [HERE/okta.yml]}", "rules.files: HERE/okta.yml:5: eventType|startwith: unknown modifier 'startwith'; did you mean 'startswith'?"),
    "a rule for two uses": (EVENTS, "events: rules}\nrules: {files: [HERE/okta.yml]", "rules.files: HERE/okta.yml:5: "),
    "rules that nothing holds": (OPS, "rules: {files: [HERE/rules]}", "rules.files: HERE/rules: holds no rule"),
    "a file in place of a folder": (STORE, "HERE/text/forwarder.db", "store.path: HERE/text is not a folder; correct the path"),
    "no such folder of rules": (OPS, "rules: {files: [HERE/nothing]}", "rules.files: HERE/nothing: No such file"),
    "no such file of rules": (OPS, "rules: {files: [HERE/nothing.yml]}", "rules.files: HERE/nothing.yml: No such file"),
    "a list that is a boolean": (OPS, "rules: {lists: {embargo: [IR, NO]}}", "rules.lists.embargo: has the value False, because YAML reads some words as booleans"),
    "a country by name in a list": (OPS, "rules: {files: [HERE/country.yml], lists: {embargo: [North Korea]}}", "rules.files: HERE/country.yml:5: forwarder.country|expand: 'North Korea' is not an ISO 3166 code of two letters, so it never matches; write KP"),
    "an org that does not exist": (OPS, "rules: {orgs: [acne]}", "rules.orgs: unknown org acne"),
    "no time to be late": (OPS, "rules: {late: 0s}", "rules.late: "),
    "one port twice": (OPS, "ops: {listen: 127.0.0.1:8080}", "ops.listen: the receiver listens there"),
    "one port by another name": (OPS, "ops: {listen: localhost:8080}", "ops.listen: the receiver listens there"),
    "a certificate of the future": (RECEIVER, tls("future.pem", "future.key"), "receiver.tls.cert: the certificate in HERE/future.pem is not valid before"),
    "a certificate with a short key": (RECEIVER, tls("weak.pem", "weak.key"), "receiver.tls.cert: HERE/weak.pem has a certificate with a key"),
    "half an API key": (KEY, "api_key: 'abc:'", "sinks.siem.api_key: lacks the id or the key"),
    "a password in a user's name": (KEY, "basic_auth: {username: 'a:b', password: c}", "sinks.siem.basic_auth.username: the name of a user cannot contain a colon"),
    "one port of all addresses": (OPS, "ops: {listen: 0.0.0.0:8080}", "ops.listen: the receiver listens there"),
    "an address of another machine": (OPS, "ops: {listen: 192.0.2.1:9464}", "ops.listen: 192.0.2.1 is not an address of this machine"),
    "no port": (OPS, "ops: {listen: 127.0.0.1}", "ops.listen: '127.0.0.1' is not an address"),
    "a URL to listen on": (OPS, 'ops: {listen: "http://127.0.0.1:9464"}', "ops.listen: 'http://127.0.0.1:9464' is not an address"),
    "an address that does not exist": (OPS, "ops: {listen: 300.0.0.1:9464}", "ops.listen: '300.0.0.1:9464' is not an address"),
    "a host without a scheme": (ES, "es.internal:9200", "sinks.siem.hosts[0]: "),
    "a password in a host": (ES, "https://elastic:hunter2@es.internal:9200", "sinks.siem.hosts[0]: must not contain credentials: URLs are logged"),
    "a blank after a host": (ES, f'"{ES} "', "sinks.siem.hosts[0]: "),
    "http and https": (ES, f"{ES}, http://es2.internal:9200", "sinks.siem.hosts: must be all http or all https"),
    "a blank in a key": (KEY, 'api_key: "my key"', "sinks.siem.api_key: has a character"),
    "two ways to sign in": (KEY, f"{KEY}, basic_auth: {{username: a, password: b}}", "sinks.siem: write `api_key` or `basic_auth`"),
    "a kind with a typo": ("kind: elasticsearch", "kind: elastic", "sinks.siem.kind: must be one of"),
    "a blank in a name": ("siem:", '"my siem":', "sinks.my siem: a name has letters"),
    "a header with a colon": ("header: Authorization", 'header: "Authorization:"', "orgs.acme.header: "),
    "a relative path": ("path: /okta/events", "path: okta/events", "orgs.acme.path: must begin with `/`"),
    "a path with dots": ("path: /okta/events", "path: /okta/../events", "orgs.acme.path: "),
    "a secret that is no list": (f"[{SECRET}]", SECRET, "orgs.acme.secrets: write a list"),
    "no secret": (f"[{SECRET}]", "[]", "orgs.acme.secrets: at least one is required"),
    "half a service app": (TOKEN, "{client_id: x}", "orgs.acme.api: set `token`, or `client_id` with `private_key`"),
    "a certificate as private key": (TOKEN, "{client_id: x, private_key: {file: HERE/cert.pem}}", "orgs.acme.api.private_key: is a certificate; write the private key"),
    "an encrypted private key": (TOKEN, "{client_id: x, private_key: {file: HERE/locked.key}}", "orgs.acme.api.private_key: has a password; write the key without one"),
    "a public key as private key": (TOKEN, "{client_id: x, private_key: {file: HERE/public.pem}}", "orgs.acme.api.private_key: is a public key; write the private key"),
    "a short private key": (TOKEN, "{client_id: x, private_key: {file: HERE/weak.key}}", "orgs.acme.api.private_key: the key has 1024 bits"),
    "a set of keys as private key": (TOKEN, """{client_id: x, private_key: '{"keys": [{}]}'}""", "orgs.acme.api.private_key: is a set of keys (JWKS); write only one key"),
    "a key of SSH as private key": (TOKEN, "{client_id: x, private_key: {file: HERE/ssh.key}}", "orgs.acme.api.private_key: is a key in the format of OpenSSH"),
    "a key in one line": (TOKEN, "{client_id: x, private_key: '-----BEGIN PRIVATE KEY-----\\nMII\\n'}", "orgs.acme.api.private_key: has `\\n` in place of line breaks"),
    "a client id as key id": (TOKEN, "{client_id: 0oa1, key_id: 0oa1, private_key: {file: HERE/key.pem}}", "orgs.acme.api.key_id: is the client id"),
    "an access token as API token": (TOKEN, "{token: eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln}", "orgs.acme.api.token: is an access token of OAuth"),
    "a chain before its certificate": (RECEIVER, tls("reversed.pem", "key.pem"), "receiver.tls.cert: HERE/reversed.pem begins with another certificate than that of `key`"),
    "a certificate in DER": (RECEIVER, tls("cert.der", "key.pem"), "receiver.tls.cert: HERE/cert.der is not PEM"),
    "a certificate for its key": (RECEIVER, tls("cert.pem", "cert.pem"), "receiver.tls.key: HERE/cert.pem is a certificate; write the private key"),
    "a key of SSH": (RECEIVER, tls("cert.pem", "ssh.key"), "receiver.tls.key: HERE/ssh.key is a key in the format of OpenSSH"),
    "a scope with a typo": (TOKEN, "{client_id: x, private_key: {file: HERE/key.pem}, scopes: [okta.log.read]}", "orgs.acme.api.scopes: unknown scope"),
    "a scope that the hook needs": (TOKEN, "{client_id: x, private_key: {file: HERE/key.pem}, scopes: [okta.logs.read]}", "orgs.acme.api.scopes: lacks okta.eventHooks.read"),
    "an address below that of an org": (URL, "https://acme.okta.com.okta.com", "orgs.acme.url: is not the URL of an org"),
    "a port of Okta": (URL, "https://acme.okta.com:8443", "orgs.acme.url: the URL has a port"),
    "url and uri exchanged": ("https://hooks.acme.com/okta/events", f"{URL}/okta/events", "orgs.acme.hook.uri: is an address of Okta"),
    "the id of a token for the token": (TOKEN, "{token: 00Tab12cd34ef56gh789}", "orgs.acme.api.token: is the id of a token"),
    "the key of an app for a token": (TOKEN, "{token: {file: HERE/token}, key_id: abc}", "orgs.acme.api.key_id: is only for a service app"),
    "scopes for a token": (TOKEN, "{token: {file: HERE/token}, scopes: [okta.logs.read]}", "orgs.acme.api.scopes: is only for a service app"),
    "dpop for a token": (TOKEN, "{token: {file: HERE/token}, dpop: false}", "orgs.acme.api.dpop: is only for a service app"),
    "the name of an app for its id": (TOKEN, "{client_id: my app, private_key: {file: HERE/key.pem}}", "orgs.acme.api.client_id: has a blank"),
    "scopes in one text": (TOKEN, '{client_id: x, private_key: {file: HERE/key.pem}, scopes: ["okta.logs.read okta.eventHooks.read"]}', "orgs.acme.api.scopes: one item contains a blank, a comma or a semicolon"),
    "the JSON of an API key": (KEY, """api_key: '{"id":"hunter2","api_key":"x"}'""", "sinks.siem.api_key: is JSON, not a key"),
    "Okta's places for Elastic's pipeline": (KEY, f"{KEY}, document_format: raw, okta_geo: true", "sinks.siem.okta_geo: has no effect"),
    "a blank pipeline": (KEY, f"{KEY}, pipeline: ' '", "sinks.siem.pipeline: "),
    "no org for the rules": (OPS, "rules: {orgs: []}", "rules.orgs: at least one is required"),
    "orgs as a list": ("orgs:\n  acme:", "orgs:\n  - acme:", "orgs: write keys with values"),
    "a header with a blank": (OTLP, f"{OTLP}, headers: {{'a b': c}}", "sinks.traces.headers.a…: is not the name of a header"),
    "the header before its value": (SECRET, "'authorization: hunter2-hunter2-hunter2'", "orgs.acme.secrets: has an item that repeats the name of the header"),
    "a header of proxies": ("header: Authorization", "header: X-Forwarded-For", "orgs.acme.header: this header has another meaning in HTTP"),
    "the name of a variable for its value": (SECRET, "ACME_SECRET", "orgs.acme.secrets[0]: the value is the name of an environment variable"),
    "a variable of the Collector": (KEY, "api_key: '${env:ES_KEY}'", "sinks.siem.api_key: the value contains a variable"),
    "a number as secret": (KEY, "api_key: 123456", "sinks.siem.api_key: write a secret as a string"),
    "a pattern of rules": (OPS, "rules: {files: [HERE/rules/*.yml]}", ("rules.files[0]: the path has a pattern such as `*`, which the forwarder does not expand; name a file, or, "
        "for rules, a folder")),
    "a pattern for the hook": (EVENTS, "events: ['user.session.*']", "orgs.acme.hook.events[0]: a hook cannot have patterns such as `*`; write each event type, or a preset"),
    "a scope of OpenID": (TOKEN, "{client_id: x, private_key: {file: HERE/key.pem}, scopes: [openid]}", "orgs.acme.api.scopes: openid is not a scope of Okta's API"),
    "type for kind": ("kind: elasticsearch", "type: elasticsearch", "sinks.siem.kind: is required; write one of elasticsearch, file, otlp"),
    "an address that begins with a colon": (RECEIVER, "listen: ::1:8080", "HERE/forwarder.yaml: line 10, column 20: expected the node content, but found ':'; put a value that begins with such a character into quotes"),
    "TOML": (GOOD, '[orgs.acme]\npath = "/okta"\n', "HERE/forwarder.yaml: line 2, column 1: expected '<document start>', but found '<scalar>'; write the configuration as YAML"),
    "a pattern with a typo": (ARCHIVE, f"{ARCHIVE}, only: [user.sesion.*]", ("sinks.archive.only[0]: no event type matches user.sesion.* (searched in Okta's catalogue, release "
        f"{RELEASE}); did you mean user.session.*?")),
    "a pattern in capitals": (ARCHIVE, f"{ARCHIVE}, only: ['User.Session.*']", ("sinks.archive.only[0]: no event type matches User.Session.* (searched in Okta's catalogue, release "
        f"{RELEASE}); did you mean user.session.*?")),
    "a header's name before its value": (OTLP, f"{OTLP}, headers: {{authorization: 'Authorization: Bearer hunter2'}}", "sinks.traces.headers: the value repeats the name of the header"),
    "a placeholder as token": (TOKEN, "{token: <token>}", "orgs.acme.api.token: the value is a placeholder from an example"),
    "dots as secret": (SECRET, "'...'", "orgs.acme.secrets[0]: the value is a placeholder from an example"),
    "a placeholder after the scheme": (OTLP, f"{OTLP}, headers: {{authorization: 'Bearer <token>'}}", "sinks.traces.headers.authorization: the value is a placeholder"),
    "a placeholder in a path": (ARCHIVE, "/var/log/<org>.ndjson", "sinks.archive.path: the value contains '<org>', a placeholder from an example"),
    "dots in a path": (ARCHIVE, ".../okta.ndjson", "sinks.archive.path: the value contains '...', a placeholder"),
    "a placeholder as user": (KEY, "basic_auth: {username: <user>, password: x}", "sinks.siem.basic_auth.username: the value contains '<user>', a placeholder"),
    "a placeholder as host": (ES, "'https://<host>:9200'", "sinks.siem.hosts[0]: the host name is invalid"),
    "yes for a number": (RECEIVER, f"{RECEIVER}, max_connections: yes", "receiver.max_connections: write a whole number, as in 100"),
    "off for a number": (KEY, f"{KEY}, delivery: {{lone_tries: off}}", "sinks.siem.delivery.lone_tries: write a whole number, as in 100"),
    "no for a number of files": (ARCHIVE, f"{ARCHIVE}, max_files: no", "sinks.archive.max_files: write a whole number, as in 100"),
    "true for a share": (OPS, f"{OPS}\nreconcile: {{rate_share: true}}", "reconcile.rate_share: write a number, as in 0.3"),
    "a date for a time": (OPS, f"{OPS}\nreconcile: {{poll: 2026-01-01}}", "reconcile.poll: 2026-01-01 is not a time; write a number with a unit"),
    "minutes in full": (OPS, f"{OPS}\nreconcile: {{poll: 5 min}}", "reconcile.poll: '5 min' is not a time; write a number with a unit"),
    "two units": (OPS, f"{OPS}\nreconcile: {{poll: 1m30s}}", "reconcile.poll: '1m30s' is not a time; write a number with a unit"),
    "a size of Kubernetes": (RECEIVER, f"{RECEIVER}, max_body: 10Mi", "receiver.max_body: '10Mi' is not a size; write a number with a unit, as in 10MiB"),
    "a dash for a hyphen": (URL, "https://acme\N{EN DASH}corp.okta.com", "orgs.acme.url: the host name is invalid"),
    "a blank that nobody sees in a host": (URL, "https://acme\N{ZERO WIDTH SPACE}.okta.com", "orgs.acme.url: the host name is invalid"),
    "typographic quotes": (URL, f"\N{LEFT DOUBLE QUOTATION MARK}{URL}\N{RIGHT DOUBLE QUOTATION MARK}", "HERE/forwarder.yaml: line 4, column 10: begins with a typographic quote"),
    "typographic quotes around a path": (ARCHIVE, f"\N{LEFT DOUBLE QUOTATION MARK}{ARCHIVE}\N{RIGHT DOUBLE QUOTATION MARK}", "HERE/forwarder.yaml: line 15, column 31: begins with a typographic quote"),
    "typographic quotes around a name": (SECRET, "{env: \N{LEFT SINGLE QUOTATION MARK}ACME_SECRET\N{RIGHT SINGLE QUOTATION MARK}}", "HERE/forwarder.yaml: line 7, column 21: begins with a typographic quote"),
    "no-break spaces": ("  acme:", "\N{NO-BREAK SPACE} acme:", "HERE/forwarder.yaml: line 3, column 1: the character U+00A0 is not YAML here; indent with normal blanks"),
    "a control character": (OPS, f"{OPS} # \a", "HERE/forwarder.yaml: line 16, column 33: the character U+0007 is not YAML here; remove it"),
    "an exclamation mark without quotes": (KEY, "basic_auth: {username: e, password: !x}", "HERE/forwarder.yaml: line 13, column 104: expected ' ', but found '}'; put a value that begins with ! into quotes"),
    "a private key for its path": (RECEIVER, f"{RECEIVER}, tls: {{cert: HERE/cert.pem, key: '-----BEGIN PRIVATE KEY-----\\nhunter2/hunter2'}}", "receiver.tls.key: is the content of a PEM file, not a path"),
    "a certificate for its path": (KEY, f"{KEY}, ca_file: '-----BEGIN CERTIFICATE-----'", "sinks.siem.ca_file: is the content of a PEM file, not a path"),
    "a store in memory": (STORE, "':memory:'", "store.path: is not a file, and a store in memory would lose events"),
    "a URL for the file of a secret": (SECRET, "{file: 'file:///run/secrets/x'}", "orgs.acme.secrets[0]: the file that `file` names cannot be read: it is a URL; write a path"),
    "the keys of another server for TLS": (RECEIVER, f"{RECEIVER}, tls: {{cert: HERE/cert.pem, private_key: HERE/key.pem}}", "receiver.tls.private_key: unknown key; did you mean `key`?"),
    "an empty name": ("  acme:", "  '':", 'orgs."": a name has letters'),
    "a name with a slash": ("  acme:", "  acme/eu:", "orgs.acme/eu: a name has letters"),
    "a name with an accent": ("  acme:", "  ácme:", "orgs.ácme: a name has letters"),
    "a URL for a name": ("  acme:", "  https://acme:", "orgs.https://acme: a name has letters"),
    "a list of names for orgs": ("orgs:\n  acme:", "orgs: [acme]\nx:\n  acme:", "orgs: write keys with values, as in {key: value}"),
    "a mapping of secrets": (f"[{SECRET}]", "{now: a, before: b}", "orgs.acme.secrets: write a list, as in [one, two]"),
    "a list in the list of secrets": (f"[{SECRET}]", f"[[{SECRET}]]", "orgs.acme.secrets[0]: write a secret as a string, {env: NAME}"),
    "two sources of one secret": (SECRET, "{env: ACME_SECRET, file: HERE/token}", "orgs.acme.secrets[0]: write a secret as a string, {env: NAME}"),
    "a source in capitals": (SECRET, "{ENV: ACME_SECRET}", "orgs.acme.secrets[0]: write a secret as a string, {env: NAME}"),
    "a dollar before a name": (SECRET, "{env: $ACME_SECRET}", "orgs.acme.secrets[0]: the value of `env` is not the name of an environment variable"),
    "event types in one text": (EVENTS, "events: 'user.session.start, user.account.lock'", "orgs.acme.hook.events: must be one of all-eligible, security, rules, or a list"),
    "a host that is no list": (f"[{ES}]", ES, "sinks.siem.hosts: write a list, as in [one, two]"),
    "hosts in one text": (f"[{ES}]", f"['{ES},https://b:9200']", "sinks.siem.hosts[0]: is not a URL; write one like"),
    "a kind in capitals": ("kind: elasticsearch", "kind: Elasticsearch", "sinks.siem.kind: must be one of elasticsearch, file, otlp"),
    "only a port": (RECEIVER, "listen: 8080", "receiver.listen: 8080 is not an address; write host:port"),
    "a star for all addresses": (RECEIVER, "listen: '*:8080'", "receiver.listen: '*:8080' is not an address; write host:port"),
    "a list of addresses": (RECEIVER, "listen: [127.0.0.1:8080]", "receiver.listen: a list is not an address; write host:port"),
    "TLS as a switch": (RECEIVER, f"{RECEIVER}, tls: true", "receiver.tls: write keys with values"),
    "a level for the section": (OPS, f"{OPS}\nlog: debug", "log: write keys with values, as in {key: value}"),
    "a level that is off": (OPS, f"{OPS}\nlog: {{level: off}}", "log.level: write debug, info, warning or error"),
    "headers as a list": (OTLP, f"{OTLP}, headers: ['authorization: x']", "sinks.traces.headers: write keys with values"),
    "a number as header": (OTLP, f"{OTLP}, headers: {{x-scope: 1}}", "sinks.traces.headers.x-scope: write a secret as a string"),
    "a protocol without its encoding": (OTLP, f"{OTLP}, protocol: http", "sinks.traces.protocol: write http/protobuf or grpc"),
    "files without end": (ARCHIVE, f"{ARCHIVE}, max_files: unlimited", "sinks.archive.max_files: write a whole number, as in 100"),
    "numbers as tags": (KEY, f"{KEY}, tags: [1, true]", "sinks.siem.tags[1]: write a string; put a number, a date, or a word like no or off in quotes"),
    "files without the key": (OPS, f"{OPS}\nrules: [HERE/good.yml]", "rules: write keys with values"),
    "a rate in words": (OPS, f"{OPS}\nreactions: {{limits: {{per_user: 2 per 1h}}}}", "reactions.limits.per_user: '2 per 1h' is not a rate; write a count and a time"),
    "a mode that is on": (OPS, f"{OPS}\nreactions: {{mode: on}}", "reactions.mode: write off, shadow or enforce"),
    "a time without end": (STORE + "}", f"{STORE}, retention: forever}}", "store.retention: 'forever' is not a time; write a number with a unit"),
    "a negative time": (STORE + "}", f"{STORE}, retention: -7d}}", "store.retention: '-7d' is not a time; write a number with a unit"),
    "a key in capitals": ("header: Authorization", "Header: Authorization", "orgs.acme.Header: unknown key; did you mean `header`?"),
    "a comment without a blank": (RECEIVER, f"{RECEIVER}#x", "receiver.listen: '127.0.0.1:8080#x' is not an address"),
    "no comma": (RECEIVER, f"{RECEIVER} max_body: 1MiB", "HERE/forwarder.yaml: line 10, column 43: expected ',' or '}', but got ':'; close the braces"),
    "no brace": (RECEIVER + "}", RECEIVER, "HERE/forwarder.yaml: line 11, column 6: expected ',' or '}', but got ':'; close the braces"),
    "a colon in a password": (KEY, "basic_auth: {username: e, password: hunter2: b}", "HERE/forwarder.yaml: line 13, column 109: expected ',' or '}'"),
    "an ampersand before a password": (KEY, "basic_auth: {username: e, password: &hunter2}", "sinks.siem.basic_auth.password: write a secret as a string"),
    "another encoding": (OPS, f"{OPS} # \ud800", "HERE/forwarder.yaml: the file is not YAML in UTF-8; save the file as UTF-8"),
    "a path for gRPC": (OTLP, '"http://127.0.0.1:4317/v1/logs", protocol: grpc', "sinks.traces.endpoint: a gRPC endpoint has no path"),
}  # fmt: skip

WARNINGS = {
    "an exception that has ended": (OPS, "rules: {files: [HERE/ended.yml]}", "rules.files: HERE/ended.yml: the exception 'On holiday' ended on 2026-01-31"),
    "a network where Okta writes an address": (OPS, "rules: {files: [HERE/network.yml]}", "rules.files: HERE/network.yml:1: Sessions: client.ipAddress is never '198.51.100.0/24'"),
    "a store that forgets too early": (OPS, "rules: {files: [HERE/long.yml]}", "store.retention: is shorter than the timespan of the correlation 'Many sessions'"),
    "a short secret": (SECRET, "hunter2", "orgs.acme.secrets[0]: is so short or simple"),
    "a short token of the page": (OPS, "ops: {listen: 127.0.0.1:9464, token: x}", "ops.token: is so short or simple"),
    "a secret that is not ASCII": (SECRET, "geheimnis-für-den-haken", "orgs.acme.secrets[0]: has a character that is not printable ASCII"),
    "a token that is not ASCII": (OPS, "ops: {listen: 127.0.0.1:9464, token: geheimnis-für-die-seite}", "ops.token: has a character that is not printable ASCII"),
    "a file that is removed with its events": (ARCHIVE, f"{ARCHIVE}, max_files: 0", "sinks.archive.max_files: with 0, each file is removed"),
    "a simple secret": (SECRET, "a" * 40, "orgs.acme.secrets[0]: is so short or simple"),
    "a secret that everybody reads": (TOKEN, "{token: {file: HERE/open}}", "HERE/open: every user of this machine"),
    "an org without its domain": (f"url: {URL}", "url: https://acme", "orgs.acme.url: acme is not a host name of Okta"),
    "a domain with a typo": (URL, "https://acme.okta.con", "orgs.acme.url: acme.okta.con looks like a misspelling of okta.com"),
    "a preview domain with a typo": (URL, "https://acme.oktapreveiw.com", "orgs.acme.url: acme.oktapreveiw.com looks like a misspelling of oktapreview.com"),
    "a list with a typo": (OPS, "rules: {files: [HERE/country.yml], lists: {embrago: [KP]}}", "rules.lists.embrago: no rule uses a list with this name; did you mean embargo?"),
    "a list with a capital": (OPS, "rules: {files: [HERE/country.yml], lists: {Embargo: [KP]}}", "rules.lists.Embargo: no rule uses a list with this name; did you mean embargo?"),
    "a sink that gets nothing": (ARCHIVE, f'{ARCHIVE}, except: ["*"]', "sinks.archive.except: leaves none of Okta's event types"),
    "plain http for all": (RECEIVER, "listen: 0.0.0.0:8080", "receiver.listen: other machines can connect by plain HTTP"),
    "metrics for all": (OPS, "ops: {listen: 0.0.0.0:9464}", "ops.listen: other machines can connect to this address, and the metrics need no password; use a firewall"),
    "token in clear": (OPS, "ops: {listen: 0.0.0.0:9464, token: sixteen-letters-or-more}", "ops.listen: other machines can connect to this address, and the metrics need no password, and ops.token crosses"),
    "a certificate of three days": (RECEIVER, tls("soon.pem", "soon.key"), "receiver.tls.cert: the certificate in HERE/soon.pem expires"),
    "an answer that Okta does not wait for": (RECEIVER, f"{RECEIVER}, commit_timeout: 5s", "receiver.commit_timeout: Okta waits only 3 s"),
    "a body for which Okta needs longer": (RECEIVER, f"{RECEIVER}, body_timeout: 1s", "receiver.body_timeout: Okta may need 3 s"),
    "a hook to a private address": ("https://hooks.acme.com", "https://10.1.2.3", "orgs.acme.hook.uri: Okta posts from the internet"),
    "a hook to this machine": ("https://hooks.acme.com", "http://localhost:8080", "orgs.acme.hook.uri: Okta posts from the internet"),
    "one org twice": ("receiver:", f"  again:\n    url: {URL}/\n    path: /again\n    secrets: [{SECRET}]\n    api: {TOKEN}\nreceiver:", "orgs.again.url: is the same org as orgs.acme"),
    "another path in Okta": ("acme.com/okta/events", "acme.com/okta/event", "orgs.acme.hook.uri: its path differs"),
    "events in clear": (ES, "http://es.internal:9200", "sinks.siem.hosts: events and credentials cross the network unencrypted"),
    "any certificate": (KEY, f"{KEY}, verify_certificate: false", "sinks.siem.verify_certificate: "),
    "a zone that blocks less than it seems": (API, zone("countries: [IR], asns: [64496]"), "orgs.acme.zones.z: blocks only addresses that match `countries` and `regions` and `asns` together"),
    "a block with host bits": (API, zone("ips: [198.51.100.7/24]"), "orgs.acme.zones.z.ips: 198.51.100.7/24 blocks all of 198.51.100.0/24"),
    "zones without egress": (API, f"{API}    zones: {{z: {{countries: [IR]}}}}\n", "orgs.acme.egress: is not set"),
    "the port of gRPC": (OTLP, '"http://127.0.0.1:4317"', "sinks.traces.endpoint: port 4317 is usually for grpc"),
    "a certificate without its chain": (RECEIVER, tls("leaf.pem", "key.pem"), "receiver.tls.cert: the file lacks the certificate of the issuer (CN=CA)"),
    "the port of Kibana": (ES, "https://es.internal:5601", "sinks.siem.hosts[0]: looks like the address of Kibana; write that of Elasticsearch"),
    "Kibana in Elastic Cloud": (ES, "https://acme.kb.us-east-1.aws.found.io", "sinks.siem.hosts[0]: looks like the address of Kibana"),
    "the port of the cluster's nodes": (ES, "https://es.internal:9300", "sinks.siem.hosts[0]: looks like the address of Elasticsearch's transport protocol"),
    "the key without its id": (KEY, "api_key: VuaCfGcBCdbkQm-e5aOx", "sinks.siem.api_key: is neither id:key nor its encoded form"),
    "no credentials": (f", {KEY}", "", "sinks.siem: sends no credentials, so Elasticsearch will probably refuse every request"),
    "the base URL of OTLP": (OTLP, "https://otlp.acme.com/otlp", "sinks.traces.endpoint: requests go to /otlp, because /v1/logs is added only to a URL without a path; most receivers need /otlp/v1/logs"),
    "one data stream twice": ("  archive:", f"  again: {{kind: elasticsearch, hosts: [{ES}], {KEY}}}\n  archive:", "sinks.again: sends events to the same place as sinks.siem does; remove one of the two"),
    "only alerts without rules": (ARCHIVE, f"{ARCHIVE}, only: [forwarder.alert]", "sinks.archive.only: leaves none of Okta's event types"),
    "a store that forgets before the rules read": (f"{STORE}}}", f"{STORE}, retention: 10s}}\nrules: {{files: [HERE/good.yml]}}", "store.retention: is so short that the store may drop events before the rules have read them"),
    "a log that is older than Okta's": (OPS, f"{OPS}\nreconcile: {{lookback: 365d}}", "reconcile.lookback: is longer than 90 days"),
    "a hook to a service of Kubernetes": ("https://hooks.acme.com", "https://forwarder.siem.svc", "orgs.acme.hook.uri: Okta posts from the internet"),
    "a private address as egress": (API, zone("countries: [IR]", "10.0.0.1"), "orgs.acme.egress: 10.0.0.1 is not an address of the internet, so Okta never sees it"),
    "a relative path of the store": (STORE, "forwarder.db", "store.path: is relative to the folder in which each command is started"),
    "a relative path of a file": (ARCHIVE, "okta.ndjson", "sinks.archive.path: is relative to the folder in which each command is started"),
    "a header that nginx removes": ("header: Authorization", "header: X_Okta_Hook", "orgs.acme.header: has `_`, and proxies such as nginx remove such a header"),
    "a blank after a password": (KEY, "basic_auth: {username: elastic, password: 'hunter2 '}", "sinks.siem.basic_auth.password: begins or ends with a blank"),
    "alerts to Slack": (OPS, f"rules: {{files: [HERE/good.yml]}}\nreactions: {{webhooks: {{soc: {{url: https://hooks.slack.com/services/T0/B0/x, secret: {STRONG}}}}}, on: [{{level: medium, do: [notify]}}]}}\nops: {{url: https://fw.acme.com}}", "reactions.webhooks.soc.url: hooks.slack.com accepts only messages in its own format"),
    "one secret twice": (f"[{SECRET}]", f"[{SECRET}, {SECRET}]", "orgs.acme.secrets[1]: is the same secret as orgs.acme.secrets[0]; remove one"),
    "the token of another org": ("receiver:", f"  beta: {{url: https://beta.okta.com, api: {TOKEN}}}\nreceiver:", "orgs.beta.api.token: is the token of orgs.acme too"),
    "null in quotes": (OPS, "ops: {listen: 127.0.0.1:9464, token: 'null'}", "ops.token: looks like a placeholder"),
    "a placeholder in capitals": (TOKEN, "{token: YOUR_TOKEN}", "orgs.acme.api.token: looks like a placeholder from an example; write the real secret"),
    "crosses as token": (TOKEN, "{token: 00xxxxxxxxxxxxxxxxxxxx}", "orgs.acme.api.token: looks like a placeholder"),
    "a secret to be changed": (SECRET, "changeme", "orgs.acme.secrets[0]: looks like a placeholder"),
    "a secret to be replaced": (SECRET, "replace-me-with-a-long-random-secret", "orgs.acme.secrets[0]: looks like a placeholder"),
    "a key to be replaced": (KEY, "api_key: YOUR_API_KEY", "sinks.siem.api_key: looks like a placeholder"),
    "the host of an example": (ES, "https://es.example.com:9200", "sinks.siem.hosts[0]: es.example.com is a name for examples, which no real server has"),
    "an org of an example": (URL, "https://your-org.okta.com", "orgs.acme.url: 'your-org' looks like a placeholder from an example"),
    "an org of Okta's docs": (URL, "https://yourOktaDomain.okta.com", "orgs.acme.url: 'yourOktaDomain' looks like a placeholder"),
    "a path of an example": (ARCHIVE, "HERE/archive/CHANGE_ME.ndjson", "sinks.archive.path: 'CHANGE_ME' looks like a placeholder"),
    "the port of HTTP": (OTLP, f"{OTLP}, protocol: grpc", "sinks.traces.endpoint: port 4318 is usually for http/protobuf"),
}  # fmt: skip

SOUND = {
    "as it is": ("", ""),
    "a merge key": (OPS, "ops: &o {listen: 127.0.0.1:9464}\nlog: {<<: {level: info}}"),
    "a byte order mark in a secret": (TOKEN, "{token: {file: HERE/bom}}"),
    "a service app": (TOKEN, "{client_id: x, private_key: {file: HERE/key.pem}}"),
    "a bundle with an old CA": (KEY, f"{KEY}, ca_file: HERE/bundle.pem"),
    "TLS": (RECEIVER, tls("cert.pem", "key.pem")),
    "rules": (OPS, "rules: {files: [HERE/good.yml], lists: {ports: [22, 443]}, again: 30m, orgs: [acme]}"),
    "a domain of the org's own": (URL, "https://login.acme.com"),
    "a host of Okta with its port": (URL, "https://acme.okta.com:443"),
    "a certificate with its chain": (RECEIVER, tls("chain.pem", "key.pem")),
    "only alerts": (f"{ARCHIVE}}}", f"{ARCHIVE}, only: [forwarder.alert]}}\nrules: {{files: [HERE/good.yml]}}"),
    "a URL of logs": (OTLP, "https://otlp.acme.com/otlp/v1/logs"),
    "an encoded API key": (KEY, f"api_key: {base64.b64encode(b'VuaCfGcBCdbkQm:ui2lp2axTNmsyakw9tvNnw').decode()}"),
    "two sinks that divide the events": (
        KEY,
        f"{KEY}, except: [user.*]}}\n  again: {{kind: elasticsearch, hosts: [{ES}], {KEY}, only: [user.*]",
    ),
    "another list with a similar name": (OPS, "rules: {files: [HERE/mine.yml], lists: {embargoed: [KP]}}"),
    "a hook for the rules that run": (EVENTS, "events: rules}\nrules: {files: [HERE/good.yml]"),
    "two files between two rotations, as the page says": (
        f"[{SECRET}]",
        "[{file: HERE/hook-old}, {file: HERE/hook-new}]",
    ),
    "a secret with such a word": (SECRET, "aB3-todo-Qx9+xxx/your_k1Zp7<x>w"),
    "a list with brackets": (
        OPS,
        "rules: {files: [HERE/mine.yml], lists: {embargoed: [KP], agents: ['<script>', '...', YOUR_AGENT]}}",
    ),
    "an org with a similar name": (URL, "https://yourkshire-foods.okta.com"),
    "a quote within quotes": (
        EVENTS,
        f"{EVENTS}, name: '\N{LEFT DOUBLE QUOTATION MARK}hook\N{RIGHT DOUBLE QUOTATION MARK}'",
    ),
    "a name that is nearly a URL": (EVENTS, f"{EVENTS}, name: 'hook://[acme'"),
    "a domain in other letters": (ES, "https://häuser.internal:9200"),
    "switches as YAML writes them": (KEY, f"{KEY}, compress: off, okta_geo: yes, organization_name: on"),
    "units as people write them": (STORE + "}", f"{STORE}, max_size: 10 gb, retention: 168 h}}"),
    "zones": (API, zone("countries: [IR, North Korea]")),
    "names that YAML reads as numbers and dates": (
        OPS,
        "rules: {files: [HERE/good.yml], lists: {22: [22], 2026-01-01: [x], null: [y]}}",
    ),
    "IPv6": (OPS, 'ops: {listen: "[::1]:9464"}'),
    "a name to listen on": (OPS, "ops: {listen: localhost:9464}"),
    "one port, two addresses": (OPS, "ops: {listen: 127.0.0.2:8080}"),
}


def certificate(folder: Path, name: str, start: datetime, end: datetime, bits: int = 2048) -> None:
    key = rsa.generate_private_key(65537, bits)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), start, end)
    (folder / f"{name}.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    lock: KeySerializationEncryption = NoEncryption()
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    if name == "cert":
        (folder / "key.pem").write_bytes((folder / "cert.key").read_bytes())
        other_forms_of(folder, key)
        lock = BestAvailableEncryption(b"x")
        (folder / "locked.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))


def other_forms_of(folder: Path, key: rsa.RSAPrivateKey) -> None:
    """Write the key in other formats, and certificates for it that a CA has issued."""
    own = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    authority = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA")])
    issued = x509.CertificateBuilder(
        name, own.subject, own.public_key(), 1, own.not_valid_before_utc, own.not_valid_after_utc
    )
    leaf = issued.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM)
    issuer = x509.CertificateBuilder(
        name, name, authority.public_key(), 2, own.not_valid_before_utc, own.not_valid_after_utc
    )
    ca = issuer.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM)
    lock = NoEncryption()
    for file, content in {
        "leaf.pem": leaf,
        "chain.pem": leaf + ca,
        "reversed.pem": ca + leaf,
        "cert.der": own.public_bytes(Encoding.DER),
        "public.pem": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "ssh.key": key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, lock),
    }.items():
        (folder / file).write_bytes(content)
        (folder / file).chmod(0o600)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the configurations name."""
    folder = tmp_path_factory.mktemp("check").resolve()
    for name in ("rules", "store"):
        (folder / name).mkdir()
    (folder / "link").symlink_to(folder / "store")
    (folder / "loop").symlink_to(folder / "loop")
    for name in ("archive", "held.lock", "folder", "busy/forwarder.db.control", "linked"):
        (folder / name).mkdir(parents=True)
    (folder / "linked/forwarder.db.lock").symlink_to(folder / "text")
    certificate(folder, "cert", NOW - DAY, NOW + 300 * DAY)
    certificate(folder, "soon", NOW - DAY, NOW + 3 * DAY)
    certificate(folder, "old", NOW - 20 * DAY, NOW - DAY)
    certificate(folder, "future", NOW + DAY, NOW + 300 * DAY)
    certificate(folder, "weak", NOW - DAY, NOW + 300 * DAY, 1024)
    bundle = (folder / "old.pem").read_bytes() + (folder / "cert.pem").read_bytes()
    for name, content in {
        "bundle.pem": bundle,
        "token": b"00" + STRONG.encode(),
        "open": STRONG.encode(),
        "hook-old": STRONG.encode(),
        "hook-new": STRONG.encode(),
        "bom": b"\xef\xbb\xbf" + STRONG.encode(),
        "binary": b"\xff\xfe\x00",
        "text": b"hello " * 50,
        "country.yml": OKTA_RULE.replace(
            "eventType|startswith: user.session", "forwarder.country|expand: '%embargo%'"
        ).encode(),
        "mine.yml": OKTA_RULE.replace(
            "eventType|startswith: user.session", "forwarder.country|expand: '%embargoed%'"
        ).encode(),
        "network.yml": OKTA_RULE.replace(
            "eventType|startswith: user.session", "client.ipAddress: 198.51.100.0/24"
        ).encode(),
        "okta.yml": OKTA_RULE.replace("startswith", "startwith").encode(),
        "good.yml": OKTA_RULE.encode(),
        "ended.yml": (OKTA_RULE + ENDED).encode(),
        "long.yml": (OKTA_RULE + LONG).encode(),
        "empty": b"",
        "blank": b"  \n",
    }.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o644 if name == "open" else 0o600)
    for name, link in {"text": "twin", "token": "token2", "good.yml": "folder/good.yml"}.items():
        (folder / link).hardlink_to(folder / name)
    for key in (folder / "key.pem", *folder.glob("*.key")):
        key.chmod(0o600)
    return folder


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_SECRET", STRONG)
    monkeypatch.setenv("ES_KEY", "id:key")
    monkeypatch.setenv("EMPTY", "")


def check(here: Path, text: str) -> Result:
    config = here / "forwarder.yaml"
    config.write_text(text.replace("HERE", str(here)), encoding="utf-8", errors="surrogatepass")
    return CliRunner().invoke(main, ["check", "--config", str(config)])


def changed(right: str, wrong: str) -> str:
    assert right in GOOD
    return GOOD.replace(right, wrong, 1) if right else GOOD


@pytest.mark.long
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_natural_mistake_is_refused_with_its_place(here: Path, mistake: str) -> None:
    right, wrong, expected = MISTAKES[mistake]
    done = check(here, changed(right, wrong))
    assert done.exit_code == 2, done.output
    lines = [line.strip() for line in done.output.splitlines()]
    assert [line for line in lines if line.startswith(expected.replace("HERE", str(here)))], done.output
    assert "Traceback" not in done.output
    assert "hunter2" not in done.output
    assert STRONG not in done.output


@pytest.mark.parametrize("case", WARNINGS)
def test_what_works_and_is_unwise_is_a_warning(here: Path, case: str) -> None:
    right, wrong, expected = WARNINGS[case]
    done = check(here, changed(right, wrong))
    assert done.exit_code == 0, done.output
    (warning,) = (line.strip() for line in done.output.splitlines() if "warning:" in line)
    assert warning.startswith("warning: " + expected.replace("HERE", str(here)))
    assert "hunter2" not in done.output


@pytest.mark.parametrize("case", SOUND)
def test_a_sound_configuration_is_shown_with_what_it_means(here: Path, case: str) -> None:
    done = check(here, changed(*SOUND[case]))
    assert (done.exit_code, "warning" in done.output) == (0, False), done.output
    assert "org acme: hook at /okta/events, " in done.output
    assert STRONG not in done.output


def paths(tree: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    if path:
        yield path
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from paths(value, (*path, key))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from paths(value, (*path, number))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(["", " ", "~", "/", ".", "\0", "-1", "1e999", "9" * 400, "https://[", "{{ x }}", "\ud800", "https://é", "=", "*"]),
    st.lists(st.text(), max_size=2),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)  # fmt: skip


@pytest.mark.long
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 200), value=VALUES)
@example(number=3, value="9" * 400)
def test_no_value_of_any_key_ends_with_a_traceback(here: Path, number: int, value: object) -> None:
    tree = yaml.safe_load(GOOD.replace("HERE", str(here)))
    places = list(paths(tree))
    *parents, last = places[number % len(places)]
    section = tree
    for key in parents:
        section = section[key]
    section[last] = value
    done = check(here, json.dumps(tree))
    assert done.exit_code in (0, 2), (places[number % len(places)], value, done.output)
    assert isinstance(done.exception, SystemExit | None), done.exception


@pytest.mark.long
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text() | st.text(alphabet="{}[]?:,&*!|>-'\"%@` \n\ta0"))
def test_no_text_ends_with_a_traceback(here: Path, text: str) -> None:
    done = check(here, text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)


LEAKS = {
    "an alias": (SECRET, "*S"),
    "a tag": (SECRET, "!S x"),
    "a handle": (SECRET, "!S!x y"),
    "an alias as token": (TOKEN, "{token: *S}"),
    "a tag for a number": (SECRET, "!!int S"),
    "a number": (SECRET, "0123456701234567012345670"),
    "no blank after the colon": (TOKEN, "{token:S}"),
    "no blank before the secret": (TOKEN, "{token S: }"),
    "a secret for a key": (TOKEN, "{S: x}"),
    "a secret without its key": (TOKEN, "{S}"),
    "a secret twice": (TOKEN, "{S: x, S: y}"),
    "a secret for a file": (SECRET, "{file: S}"),
    "user and password in one": (KEY, "basic_auth: {'elastic:S': }"),
    "a header and its value in one": (OTLP, f"{OTLP}, headers: {{X-Key=S: }}"),
    "a header and its value in one, with a value": (OTLP, f"{OTLP}, headers: {{'Authorization: Bearer S': x}}"),
    "a password in half a URL": (ES, "https:/elastic:S@es:9200"),
    "a password without a scheme": (ES, "elastic:S@es:9200"),
    "a query": (ES, "https://es:9200/?k=S"),
    "a query of the page": (OPS, "ops: {url: 'https://x/?t=S'}"),
    "a path of a webhook": (OPS, "reactions: {webhooks: {soc: {url: 'http://soc.example/services/S', secret: x}}}"),
    "a query of an org": (URL, "https://acme.okta.com/?token=S"),
}  # fmt: skip


@pytest.mark.parametrize("case", LEAKS)
def test_no_problem_shows_what_may_be_a_secret(here: Path, case: str) -> None:
    redaction.clear()  # a value that was read before would be hidden
    secret = "Qx9sup3rs3cr3tvalue1234567890"
    right, wrong = LEAKS[case]
    done = check(here, changed(right, wrong.replace("S", secret) if "S" in wrong else wrong))
    assert done.exit_code == 2, done.output
    assert secret not in done.output
    assert "1234567" not in done.output


@pytest.mark.parametrize("key", ["locked.key", "cert.pem", "ssh.key", "public.pem"])
def test_a_wrong_key_has_one_text_wherever_a_private_key_belongs(here: Path, key: str) -> None:
    uses = {
        "receiver.tls.key": (RECEIVER, tls("cert.pem", key)),
        "sinks.traces.key_file": (OTLP, f"https://c:4318, cert_file: HERE/cert.pem, key_file: HERE/{key}"),
        "orgs.acme.api.private_key": (TOKEN, f"{{client_id: x, private_key: {{file: HERE/{key}}}}}"),
    }
    texts = set()
    for place, change in uses.items():
        (line,) = (line for line in check(here, changed(*change)).output.splitlines() if place in line)
        texts.add(line.partition(f"{place}: ")[2].removeprefix(f"{here / key} ").partition(", or create one")[0])
    assert len(texts) == 1, texts


def test_the_output_is_no_archive_when_it_is_a_pipe(here: Path) -> None:
    read, write = os.pipe()
    result = check(here, changed(ARCHIVE, f"/proc/self/fd/{write}"))
    os.close(read)
    os.close(write)
    assert f"sinks.archive.path: /proc/self/fd/{write} is not a file" in result.output


def test_the_hint_about_a_private_key_is_not_redacted(here: Path) -> None:
    done = check(here, changed(TOKEN, "{client_id: x, private_key: no key}"))
    assert "***" not in done.output


def test_a_command_without_a_configuration_names_init(here: Path) -> None:
    done = CliRunner().invoke(main, ["check", "--config", str(here / "absent.yaml")])
    assert "cannot be read: No such file or directory" in done.output
    assert "or write a first one with `forwarder init`" in done.output


def test_a_variable_with_one_underscore_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    near = ["FORWARDER_OPS_LISTEN", "FORWARDER_RECEIVER__LISTEN", "FORWARDER_STORE__PATH", "FORWARDER_X__Y"]
    of_others = [
        "FORWARDER_OPS_TOKEN",
        "FORWARDER_OPS_SERVICE_HOST",
        "FORWARDER_OPS_PORT_9464_TCP_ADDR",
        "FORWARDER_PORT",
    ]
    for name in (*near, *of_others):
        monkeypatch.setenv(name, "x")
    done = check(here, GOOD)
    assert done.exit_code == 0, done.output
    named = [line.strip() for line in done.output.splitlines() if "warning" in line]
    assert [line.split()[1] for line in named] == [f"{name}:" for name in near]


def test_a_problem_on_this_machine_names_the_variable(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDER__STORE__PATH", "/nowhere/forwarder.db")
    done = check(here, GOOD)
    assert done.exit_code == 2
    assert "(set by FORWARDER__STORE__PATH)" in done.output


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("FORWARDER__STORE__PATH", "", "store.path: is not a path; write one like"),
        ("Forwarder__Receiver__Listen", "8080", "receiver.listen: '8080' is not an address; write host:port"),
        ("forwarder__reciever__listen", "x", "reciever: unknown key; did you mean `receiver`?"),
        ("FORWARDER__", "x", '"": unknown key; known here: log, ops, orgs'),
        ("FORWARDER__RECEIVER__", "x", 'receiver."": unknown key; known here: body_timeout'),
        ("FORWARDER__RECEIVER__LISTEN__X", "y", "receiver.listen: a mapping is not an address; write host:port"),
        ("FORWARDER__RECONCILE.POLL", "60s", "reconcile.poll: unknown key; did you mean `reconcile`?"),
        ("FORWARDER__SINKS__SIEM__TAGS", '["a",]', "sinks.siem.tags: write a list, as in [one, two]; here as JSON"),
        ("FORWARDER__SINKS__SIEM__COMPRESS", "maybe", "sinks.siem.compress: write true or false"),
        ("FORWARDER__ORGS", '{"acme": null}', "orgs.acme: write keys with values"),
        ("FORWARDER__OPS__HEARTBEAT", "", "ops.heartbeat: '' is not a time; write a number with a unit"),
        ("FORWARDER__RULES__ORGS", "", "rules.orgs: write a list, as in [one, two]; here as JSON"),
        ("FORWARDER__RECEIVER__MAX_CONNECTIONS", "true", "receiver.max_connections: write a whole number"),
        ("FORWARDER__STORE__MAX_SIZE", "10", "store.max_size: '10' is not a size; write a number with a unit"),
        ("FORWARDER__OPS__LISTEN", "127.0.0.1:1\n", "ops.listen: '127.0.0.1:1\\n' is not an address; write host:port"),
    ],
)  # fmt: skip
def test_a_natural_mistake_in_a_variable_is_refused_with_its_name(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    monkeypatch.setenv(name, value)
    done = check(here, GOOD)
    assert done.exit_code == 2, done.output
    (problem,) = (each.strip() for each in done.output.splitlines()[1:])
    assert problem.startswith(line)
    assert problem.endswith(f"(set by {name})")


def test_a_variable_that_is_nested_too_deeply_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDER__STORE", "[" * 100_000)
    done = check(here, GOOD)
    assert done.exit_code == 2, done.output
    assert "store: write keys with values" in done.output


@pytest.mark.long
def test_run_refuses_what_check_refuses_with_the_same_line(here: Path) -> None:
    for mistake in ("no scheme", "the WAL as archive", "a folder as archive", "a folder that is not there"):
        right, wrong, _ = MISTAKES[mistake]
        refused = check(here, changed(right, wrong))
        done = subprocess.run(
            [sys.executable, "-m", "forwarder", "run", "--config", here / "forwarder.yaml"],
            capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (2, refused.output)


@pytest.mark.long
async def test_a_reload_refuses_what_check_refuses_with_the_same_lines(here: Path, tmp_path: Path) -> None:
    sink = {"archive": {"kind": "file", "path": str(tmp_path / "okta.ndjson")}}
    forwarder = ForwarderProcess(tmp_path, sink)
    running = forwarder.config.read_text()
    config = here / "forwarder.yaml"
    check(here, running)
    with (
        forwarder.log.open("w") as log,
        child([*FORWARDER, "run", "--config", config], stderr=log, env={**os.environ, "PYTHONPATH": "."}) as process,
    ):
        await until(lambda: "the forwarder has started" in forwarder.log.read_text(), seconds=60)
        for right, wrong, _ in list(MISTAKES.values())[::7]:
            refused = check(here, changed(right, wrong)).output.splitlines()[1:]
            before = forwarder.log.stat().st_size
            process.send_signal(signal.SIGHUP)
            await until(partial(_is_logged, forwarder.log, before, [line.strip() for line in refused]), seconds=20)


def _is_logged(log: Path, start: int, problems: list[str]) -> bool:
    """Whether a line of `log` behind `start` is about a failed reload, for all these `problems`."""
    lines = log.read_bytes()[start:].splitlines(keepends=True)
    errors = [json.loads(line).get("error", {}).get("message", "") for line in lines if line.endswith(b"\n")]
    return any(error.splitlines() == problems for error in errors)

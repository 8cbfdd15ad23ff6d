"""Does with Debian's pymacaroons and macaroonbakery what the tests ask for.

Each line of input is a JSON object: what to do, and its arguments. Each is answered by one line: the result, or the
error. Bytes are base64. A token is text as pymacaroons writes it: JSON, or base64 of the binary form.
"""
import base64
import json
import sys

import bakery_peer
import pymacaroons
from pymacaroons.serializers import json_serializer

JSON = json_serializer.JsonSerializer()


def unbase64(text):
    return base64.b64decode(text, validate=True)


def read(token):
    serializer = JSON if token.startswith('{') else None
    return pymacaroons.Macaroon.deserialize(token, serializer)


def write(m, as_json):
    return m.serialize(JSON if as_json else None)


def mint(key, identifier, location, version, json):
    m = pymacaroons.Macaroon(
        key=unbase64(key), identifier=unbase64(identifier), location=location, version=version)
    return write(m, json)


def attenuate(token, caveats, json):
    m = read(token)
    for c in caveats:
        if c.get('rootKey'):
            m.add_third_party_caveat(c['location'], unbase64(c['rootKey']), unbase64(c['id']))
        else:
            m.add_first_party_caveat(unbase64(c['id']))
    return write(m, json)


def bind(primary, discharges, json):
    m = read(primary)
    return [write(m.prepare_for_request(read(d)), json) for d in discharges]


def verify(key, tokens, conditions):
    v = pymacaroons.Verifier()
    for condition in conditions:
        v.satisfy_exact(condition)
    primary, *discharges = map(read, tokens)
    return v.verify(primary, unbase64(key), discharges)


def main():
    # What libraries print must not get between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    known = {f.__name__: f for f in (mint, attenuate, bind, verify) + bakery_peer.KNOWN}
    for line in sys.stdin:
        arguments = json.loads(line)
        try:
            answer = {'result': known[arguments.pop('do')](**arguments)}
        except Exception as err:
            answer = {'error': '%s: %s' % (type(err).__name__, err)}
        print(json.dumps(answer), file=answers, flush=True)


main()

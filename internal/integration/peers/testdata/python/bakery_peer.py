"""The part of the helper that has Debian's macaroonbakery: a client, and a service that is a third party as well."""
import base64
import datetime
import http.server
import json
import threading
import urllib.parse

import pymacaroons
import requests
from macaroonbakery import bakery, checkers, httpbakery
from pymacaroons.serializers import json_serializer

READ = bakery.Op('orders', 'read')
NO_CALLER = checkers.AuthContext()


def unbase64(text):
    return base64.b64decode(text, validate=True)


def to_base64(data):
    return base64.b64encode(data).decode()


class Members(bakery.ThirdPartyCaveatChecker):
    """Knows one condition, "member-of acme", and declares these attributes of whoever asks."""

    def __init__(self, declared):
        self._declared = declared

    def check_third_party_caveat(self, ctx, info):
        if info.condition == 'member-of emca':
            raise bakery.ThirdPartyCaveatCheckFailed('not a member')
        if info.condition != 'member-of acme':
            raise bakery.CaveatNotRecognizedError('unknown condition')
        return [checkers.declared_caveat(k, v) for k, v in sorted(self._declared.items())] + [
            checkers.time_before_caveat(datetime.datetime.utcnow() + datetime.timedelta(minutes=5))]


class Users(bakery.IdentityClient):
    """Takes the declared user for who it is."""

    def identity_from_context(self, ctx):
        return None, None

    def declared_identity(self, ctx, declared):
        if 'user' not in declared:
            raise bakery.IdentityError('no user declared')
        return bakery.SimpleIdentity(declared['user'])


def new_key():
    key = bakery.generate_key()
    return {'private': str(key), 'public': str(key.public_key)}


def seal(public, version, condition):
    """Makes a caveat id, in the version given, for whoever has the key."""
    root_key = b'twenty-four bytes of key'
    caveat_id = bakery.encode_caveat(
        condition, root_key,
        bakery.ThirdPartyInfo(version=version, public_key=bakery.PublicKey.deserialize(public)),
        bakery.generate_key(), bakery.legacy_namespace())
    return {'id': to_base64(caveat_id), 'rootKey': to_base64(root_key)}


def discharge(private, id, declared, payload=None):
    """Discharges a caveat, as the third party that has the key."""
    m = bakery.discharge(
        NO_CALLER, id=unbase64(id), caveat=unbase64(payload) if payload else None,
        key=bakery.PrivateKey.deserialize(private), checker=Members(declared), locator=None)
    return m.macaroon.serialize(json_serializer.JsonSerializer())


OVEN = {}


def bake(version, location, public, condition, third_party_version):
    """Mints a macaroon for reading orders, with a caveat for a third party."""
    locator = bakery.ThirdPartyStore()
    locator.add_info(location, bakery.ThirdPartyInfo(
        version=third_party_version, public_key=bakery.PublicKey.deserialize(public)))
    b = bakery.Bakery(
        location='orders', locator=locator, key=bakery.generate_key(), identity_client=Users())
    m = b.oven.macaroon(
        version, datetime.datetime.utcnow() + datetime.timedelta(minutes=5),
        [checkers.Caveat(location=location, condition=condition)], [READ])
    [caveat] = m.third_party_caveats()
    OVEN[caveat.caveat_id_bytes] = b, m
    payload = m.caveat_data.get(caveat.caveat_id_bytes)
    return {'id': to_base64(caveat.caveat_id_bytes), 'payload': payload and to_base64(payload)}


def eat(id, discharge):
    """Checks the macaroon that has this caveat, with its discharge, and gives what the two declare."""
    b, m = OVEN[unbase64(id)]
    d = pymacaroons.Macaroon.deserialize(discharge, json_serializer.JsonSerializer())
    macaroons = bakery.discharge_all(m, lambda caveat, payload: Unwrapped(d))
    b.checker.auth([macaroons]).allow(NO_CALLER, [READ])
    return checkers.infer_declared(macaroons, m.namespace)


class Unwrapped:
    """What discharge_all wants of a discharge."""

    def __init__(self, m):
        self.macaroon, self.caveat_data = m, {}


class Service(http.server.BaseHTTPRequestHandler):
    """GET /orders, for whoever has a discharge of the third party that the server was told of; and a third party."""

    def do_GET(self):
        server, path = self.server, urllib.parse.urlparse(self.path).path
        if path == '/discharge/info':
            self._answer(200, {'PublicKey': str(server.key.public_key), 'Version': bakery.LATEST_VERSION})
        elif path == '/publickey':
            self._answer(200, {'PublicKey': str(server.key.public_key)})
        elif path == '/orders':
            self._orders()
        else:
            self._answer(404, {'Message': 'not found'})

    def _orders(self):
        presented = httpbakery.extract_macaroons(self.headers)
        try:
            who = self.server.bakery.checker.auth(presented).allow(NO_CALLER, [READ])
        except bakery.PermissionDenied:
            m = self.server.bakery.oven.macaroon(
                httpbakery.request_version(self.headers),
                datetime.datetime.utcnow() + datetime.timedelta(minutes=5),
                [checkers.Caveat(location=self.server.third_party, condition=self.server.condition)], [READ])
            content, headers = httpbakery.discharge_required_response(m, '/', 'orders')
            self._write(401, content, headers)
            return
        declared = checkers.infer_declared(who.macaroons[0])
        self._answer(200, {'user': declared.get('user', ''), 'macaroons': len(who.macaroons[0])})

    def do_POST(self):
        url = urllib.parse.urlparse(self.path)
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0)).decode()
        if url.path != '/discharge':
            self._answer(404, {'Message': 'not found'})
            return
        # As the bakery's discharger in Go, from both.
        parameters = dict(urllib.parse.parse_qsl(url.query) + urllib.parse.parse_qsl(body))
        try:
            m = httpbakery.discharge(
                NO_CALLER, parameters, self.server.key, self.server.locator, Members(self.server.declared))
        except (bakery.ThirdPartyCaveatCheckFailed, bakery.CaveatNotRecognizedError, bakery.VerificationError) as err:
            self._answer(500, {'Message': 'cannot discharge: %s' % err})
            return
        self._answer(200, {'Macaroon': m.to_dict()})

    def _answer(self, status, content):
        self._write(status, json.dumps(content).encode(), {'Content-Type': 'application/json'})

    def _write(self, status, content, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


def serve(declared, third_party=None, condition='member-of acme'):
    """Starts a Service on loopback, and gives its URL. Without another third party it is its own."""
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Service)
    server.daemon_threads = True
    url = 'http://127.0.0.1:%d' % server.server_address[1]
    server.key = bakery.generate_key()
    server.locator = httpbakery.ThirdPartyLocator(allow_insecure=True)
    server.declared, server.condition, server.third_party = declared, condition, third_party or url
    server.bakery = bakery.Bakery(
        location=url, locator=server.locator, key=server.key, identity_client=Users())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return url


CLIENTS = {}


def request(client, url, method='GET'):
    """Makes a request with a client of that name, which is there already or new."""
    if client not in CLIENTS:
        CLIENTS[client] = httpbakery.Client(
            interaction_methods=[httpbakery.WebBrowserInteractor(open=lambda url: requests.get(url).raise_for_status())])
    answer = CLIENTS[client].request(method, url, timeout=20)
    return {
        'status': answer.status_code,
        'body': answer.text,
        'cookies': sorted(cookie.name for cookie in CLIENTS[client].cookies),
    }


KNOWN = (new_key, seal, discharge, bake, eat, serve, request)

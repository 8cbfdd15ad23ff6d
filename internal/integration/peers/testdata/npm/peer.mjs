// Does with npm's macaroon and @canonical/macaroon-bakery what the tests ask for.
//
// Each line of input is a JSON object: what to do, and its arguments. Each is answered by one line: the result, or
// the error. Bytes are base64. A token is text: JSON, or base64 of the binary form, which is version 2 only.
import { createInterface } from 'node:readline'
import macaroon from 'macaroon'

globalThis.window = globalThis // npm's bakery is for browsers
const { Bakery } = await import('@canonical/macaroon-bakery')
const { newMacaroon, importMacaroon, base64ToBytes, bytesToBase64 } = macaroon

const read = (token) => importMacaroon(token.startsWith('{') ? JSON.parse(token) : token)
const write = (m, json) => (json ? JSON.stringify(m.exportJSON()) : bytesToBase64(m.exportBinary()))

const known = {
  mint({ key, identifier, location, version, json }) {
    const m = newMacaroon({
      rootKey: base64ToBytes(key), identifier: base64ToBytes(identifier), location, version,
    })
    return write(m, json)
  },

  attenuate({ token, caveats, json }) {
    const m = read(token)
    for (const c of caveats) {
      if (c.rootKey) m.addThirdPartyCaveat(base64ToBytes(c.rootKey), base64ToBytes(c.id), c.location)
      else m.addFirstPartyCaveat(base64ToBytes(c.id))
    }
    return write(m, json)
  },

  bind({ primary, discharges, json }) {
    const { signature } = read(primary)
    return discharges.map((text) => {
      const d = read(text)
      d.bindToRoot(signature)
      return write(d, json)
    })
  },

  verify({ key, tokens, conditions }) {
    const [primary, ...discharges] = tokens.map(read)
    primary.verify(base64ToBytes(key), (c) => (conditions.includes(c) ? null : 'not met'), discharges)
    return true
  },

  // request makes a request with a bakery client of that name, which is there already or new.
  request({ client, url, method = 'get', protocolVersion }) {
    clients[client] ??= new Bakery({
      protocolVersion,
      sendRequest: send,
      visitPage: (error) => fetch(error.Info.VisitURL),
    })
    return new Promise((resolve, reject) => {
      failed = reject
      clients[client].sendRequest(url, method, null, null, (error, answer) => {
        if (error) reject(error)
        else resolve({ status: answer.target.status, body: answer.target.responseText })
      })
    })
  },
}

const clients = {}
let failed // of the request that is under way

// send is to the bakery client what XMLHttpRequest is to it in browsers.
function send(url, method, headers, body, withCredentials, callback) {
  fetch(url, { method: method.toUpperCase(), headers, body: body ?? undefined, redirect: 'manual' })
    .then(async (answer) => ({
      status: answer.status,
      responseText: await answer.text(),
      getResponseHeader: (name) => answer.headers.get(name),
    }))
    .catch((err) => ({ status: 0, responseText: String(err.cause ?? err), getResponseHeader: () => null }))
    .then((target) => callback({ target }))
    .catch(failed) // what the client threw on an answer that it did not expect
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer
  try {
    const { do: what, ...args } = JSON.parse(line)
    answer = { result: await known[what](args) }
  } catch (err) {
    answer = { error: String(err) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}

// Fails, in few words, if the libraries are not installed.
try {
  await import('macaroon')
  globalThis.window = globalThis // npm's bakery is for browsers
  await import('@canonical/macaroon-bakery')
} catch (err) {
  console.error(err.message)
  process.exitCode = 1
}

// Package client puts tokens on outgoing requests: to each request the least that it
// needs, made for it alone, so that the token that lives long never goes on the wire.
//
//	source, err := client.File("/run/secrets/orders.token")
//	transport, err := client.New([]string{"https://orders.internal"}, source, client.Options{})
//	orders := &http.Client{Transport: transport}
//
// A [Source] says which wallet is for which server: [Static], [File], which follows
// rotation, a [SourceFunc], or [Forward], which hands on what came in. [Refresh] keeps
// what a slow one gives until shortly before it expires.
//
// A [Transport] narrows the wallet for each request, to its method, its path and
// 30 seconds, binds its discharges and sets the Authorization header. It sends tokens
// to the origins that it was given and to no others, and never to where a redirect
// led. Discharges that are missing it has obtained by a [Discharger], such as the client of
// package dischargehttp.
//
// # Clocks
//
// The few seconds that a narrowed token lives begin on the client's clock and end on
// the server's. The transport looks at the Date of every answer and reckons with the
// difference from then on. If a server refuses a token that was expired by its clock
// when it arrived, the request is sent once more.
//
// # Forwarding
//
// A service that calls another one on behalf of its caller can pass on the caller's
// token, narrowed: see [Forward]. Audiences intersect, so a token that was narrowed to
// one service is of no use at the next. Who calls through several services therefore
// makes siblings: one narrowed token for each service that is to check one, the ones
// further down sent beside the first. With discharges there is no other way: they are
// bound to the token as it was sent, which nobody after can narrow.
package client

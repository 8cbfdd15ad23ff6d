// Package client puts tokens on outgoing requests: to each request the least that it
// needs, made for it alone, so that the token that lives long never goes on the wire.
//
//	source, err := client.File("/run/secrets/orders.token")
//	transport, err := client.New([]string{"https://orders.internal"}, source, client.Options{})
//	orders := &http.Client{Transport: transport}
//
// A [Source] says which wallet is for which server: [Static], [File], which follows
// rotation, a [SourceFunc], or [Forwarding], which hands on what came in. [Refresh] keeps
// what a slow one gives until shortly before it expires.
//
// A [Transport] narrows the wallet for each request, to its method, its path and
// 30 seconds, binds its discharges and sets the Authorization header. It sends tokens
// to the origins that it was given and to no others, and never to where a redirect
// led. [Prepare], or [Attempts] with a second attempt, is the same for requests that are
// sent by other means.
//
// # Discharges
//
// Discharges that are missing are obtained by a [Discharger], such as the client of
// package dischargehttp, before a request is sent; and once more if the service asks for
// them, or if one has expired by its clock. Then the request is sent a second time, for
// which its body must be had again: see [http.Request].GetBody. If it can't be, the
// request fails.
//
// # Clocks
//
// The few seconds that a narrowed token lives begin on the client's clock and end on the
// server's. The transport looks at the Date of every answer and reckons with the
// difference from then on, if it is no more than [Options.MaxSkew]. If a server refuses
// a token that was expired by its clock when it arrived, the request is sent once more.
//
// # Forwarding
//
// A service that calls another one on behalf of its caller can pass on the caller's
// token, narrowed: see [Forward]. But caveats add up. A token that was narrowed to one
// service is of no use at the next, and one that was narrowed to a method and path is of
// use only for requests like that. Who calls through several services therefore makes
// siblings: one narrowed token for each service that is to check one, the ones further
// down sent beside the first; and whose token is to be forwarded by others sets
// [Options.AnyMethod] and [Options.AnyPath]. With discharges there is no other way than
// siblings, made before they are sent, by [Prepare]: discharges are bound to the token as
// it was sent, which nobody after can narrow. Whoever is to pass such a sibling on sends it
// as it is, in an Authorization header that no Transport sets.
package client

// Package dischargehttp discharges third-party caveats over HTTP, and gets discharges: package thirdparty with a network
// in between.
//
//   - [Service] is the third party: an [http.Handler] that discharges what a [thirdparty.Checker] agrees to.
//   - [Client] gets all discharges that a wallet lacks. Package macaroon/client puts it behind an http.Client.
//   - [Locator] finds a third party's key, for whoever adds a caveat.
//
// The protocol is that of the macaroon bakery, versions 2 and 3, so that its clients and services, in Go, Python and
// JavaScript, understand these ones.
//
// # The service
//
//	discharger, err := thirdparty.NewDischarger(keys, thirdparty.Options{})
//	service, err := dischargehttp.NewService(discharger, checker, dischargehttp.ServiceOptions{Caller: …})
//	mux.Handle("/", service)
//
// A discharge says that a condition held for whoever asked, so the service has to know who that is.
// [ServiceOptions.Caller] tells it from the request. Where it takes a person, the checker returns
// [ErrInteractionRequired] and the service has [Flows]: the client is told what to open in a browser, and waits
// until the application has called [Flows.Complete].
//
// Every refusal is answered the same, whether the caveat id could not be read, the condition is unknown or it does
// not hold: only [ServiceOptions.Audit] learns why, such as [AuditLog]. A client whose requests fail too often has to wait.
//
// # The client
//
//	client, err := dischargehttp.NewClient([]string{"https://id.example"}, dischargehttp.ClientOptions{})
//	wallet, err = client.Discharge(ctx, wallet)
//
// Where a token says its third parties are is not authenticated. The client goes to the locations that it was made
// for, by their exact origin and path, and to no others; it follows no redirect, sends no cookies, and reads and waits
// no longer than its limits say. A discharge must have the caveat id that was asked for; whether it is any good, only
// a verifier can tell. What a client gets it keeps until shortly before it expires, apart for each identity. Third
// parties do not wait for each other, unless the client has Interactors.
//
// Anybody who had a token before can have added a caveat for one of these third parties, and learns, by whether the
// client comes back with its discharge, what that says about the client. So a client that takes tokens from anybody
// should ask only third parties of whom that may be known.
package dischargehttp

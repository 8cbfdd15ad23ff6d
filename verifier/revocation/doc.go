// Package revocation takes back what was minted, before it expires, and everywhere within
// a stated time.
//
//	revoked := revocation.NewMemory(nil)                      // who revokes
//	list, err := revocation.NewList(revoked, 10*time.Second, revocation.Options{})
//	err = list.Refresh(ctx)                                   // who verifies: filled before the first request
//	go list.Run(ctx)                                          // and kept so
//	v, err := verifier.New(keys, "orders", verifier.Options{Revocations: list})
//	err = revoked.Revoke(ctx, revocation.Token(id), latestExpiry, "leaked in a log")
//
// What can be revoked is in [What]: a token with all that was attenuated from it, a branch
// of it, a root key, a subject, or all that a key or subject was issued up to an instant. All of that is what the
// minter wrote, or a holder can't take off; nothing hangs on bytes that a holder can
// change. What the audit log of package verifier writes behind "token", "key", "subject" and
// "foreign", [Parse] reads behind the same words, and of a refusal what it writes behind
// "revoked: ", which is the entry that was met; whatever was minted up to an instant is
// [KeyUntil] for each key that rootkey.Keyring.Keys lists.
//
// Revocations are kept where they are made, by [Memory] or [SQL], with who, when and
// why. Verifiers hold a [List] in memory, which follows a [Feed] of changes: the store itself, in
// the same process or by its database, or [HTTP] from a [Handler], so that they need no
// database. A list that falls behind, or finds a gap, loads everything anew. It states how old what it
// knows may be; older than that, decisions are undecided (503), neither allowed nor refused.
//
// A revocation takes effect in the next decision, also for a credential that was verified
// before, and in [verifier.Authentic.Check] for a stream that is open. [List.Changed] tells when to
// look at a stream on which nothing happens, and [List.Watch] what changed.
//
// An entry names the time past which it may be dropped: the latest expiry of what it is
// about, plus the largest leeway of any verifier. One that is too early un-revokes. Of a
// token or branch whose expiry is not known, MaxLifetime of package rootkey and that leeway
// from now is late enough; the zero time is for ever.
package revocation

// Package redisstore keeps root keys in Redis, for processes on many machines. It is a
// module of its own, so that nobody else gets a Redis client.
//
//	client := redis.NewClient(&redis.Options{Addr: "redis.internal:6379", ContextTimeoutEnabled: true})
//	sealer, err := seal.NewKey(kek)
//	store, err := redisstore.New(client, sealer, redisstore.Options{})
//	keys, err := rootkey.Open(ctx, store, rootkey.Options{})
//
// The whole set is one hash, "amaretti:rootkeys:default" or another name that [Options]
// gives: its version, and a sealed record for each key. It is read by one command and
// replaced by one script, so that nobody ever sees a part of it, in a cluster too. [Store.Rewrap]
// seals it under another key.
//
// # What Redis has to do
//
// Root keys are not a cache. Redis must not evict them (maxmemory-policy noeviction), and must
// keep them when it restarts: appendonly yes, with appendfsync always if no rotation may be lost. A replica that
// takes over without the last write has the same effect as a crash: a key that it does not
// know any more was published to nobody else for the publication delay, or has signed tokens
// that are refused from then on. Verifiers should read from where minters write.
//
// A Redis that has lost everything holds an empty set. A keyring that knew keys takes that for
// a failure and not for an empty store, and goes on with what it knows until it is stale: time
// to restore a copy.
//
// # Contexts
//
// The client heeds a context's end in the middle of a command only if its option
// ContextTimeoutEnabled is set, and otherwise its own timeouts.
package redisstore

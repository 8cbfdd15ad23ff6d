// Package filestore keeps root keys in one sealed file, for one service or a few
// processes on one machine.
//
//	sealer, err := seal.NewKey(kek)
//	store, err := filestore.New("/var/lib/orders/keys", sealer, filestore.Options{})
//	keys, err := rootkey.Open(ctx, store, rootkey.Options{})
//
// [New] takes the path and how the file is sealed. Options.ReadOnly is for those who only
// verify, from a file that comes from elsewhere, such as a Kubernetes secret.
// [Store.Rewrap] seals it under another key or passphrase.
//
// # The file
//
// It is one line, "amaretti root keys 1", and then the whole set of keys, sealed as one
// piece (package seal) for the name in the options. A byte that was changed, added or
// lost anywhere is an error, and so is a key taken from another file. Whoever can write to
// the file's directory can still put a former file back in its place.
//
// A write goes to a new file beside it, which takes the old one's place when it is safely on
// disk: so the file is always one that was written, whole, whenever a
// process is killed or a machine loses power. What a killed process leaves behind, a file
// named like keys.4fd1c2b35a6e7f80.new, the next writer removes. Writers take turns by
// a lock on another file beside it, keys.lock, which stays. Loading needs no lock.
//
// The file belongs on a local disk, where locks, renaming and syncing are what they seem. Copies
// for backup need nothing but copying it.
//
// # Who may do what
//
// A file that others than its owner and group can read, or that others than its owner can
// write, is refused, and so is anything that is not a regular file of at most 4 MiB. The
// file is made for its owner alone. If its group has been allowed to read it (chmod
// g+r), that remains so in later writes, by members of that group: so a service of
// another user can verify with it.
//
// A directory in which everybody can write is refused too, but for ReadOnly if only
// the owner of a file can remove it there (the sticky bit), which is how Kubernetes mounts
// secrets. Their files are readable by all unless the volume says defaultMode: 0400, or 0440
// with an fsGroup.
//
// # Systems
//
// It works on Linux, macOS, the BSDs and illumos. Elsewhere [New] gives an error for which
// errors.Is finds errors.ErrUnsupported, since there neither the permissions nor the lock
// can be relied on.
package filestore

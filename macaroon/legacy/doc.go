// Package legacy reads and writes macaroons in every form that other libraries
// use, and converts to and from the type of gopkg.in/macaroon.v2. It is for
// moving to this library, and for living beside another one meanwhile.
//
//   - [Import] reads a credential in any form and says in which [Form] it was.
//     What it gives is like any other: it verifies, encodes, and attenuates.
//   - [ExportV1Binary], [ExportV1Text], [ExportV1JSON] and [ExportV2JSON] write.
//     The v2 binary form and its text need no export: they are what MarshalBinary
//     and Encode give.
//   - [FromV2] and [ToV2] are the bridge to *macaroon.Macaroon of
//     gopkg.in/macaroon.v2.
//
// That a token was imported says nothing about who made it. Tokens of other
// minters have identifiers that are not ours, so they are verified by a
// verifier made with verifier.NewForeign.
//
// # What is read
//
// v1 binary, v2 binary, and either in base64 (standard or URL alphabet, padded or
// not), in hex, or in a JSON string of base64; v1 JSON and v2 JSON. Several
// macaroons are one behind the other in binary, or elements of a JSON array. White
// space around text that is not JSON is the caller's to trim, and base64 around
// JSON, such as in the cookies of a bakery, the caller's to undo.
//
// Everything becomes canonical v2 binary and is parsed as such, so that no form
// gets in what another could not, and all limits hold. encoding/json divides JSON
// into tokens; what they mean, and the packets of the binary forms, is read here and
// not by macaroon.v2. To make up for what that codec lets pass, every packet and
// every token had to be looked at before it, and once that is done nothing is left
// to decode. In tests it remains the judge: whatever is imported, it reads as the
// same macaroon.
//
// # Where libraries differ
//
// Libraries differ about what is a macaroon. Here the strict side is taken, also
// where most are lenient, unless what is lenient is what a library writes. Each row
// is a matter in dispute and our position on it.
//
//	base64-mixed-alphabet     refused  both + or / and - or _ in one text
//	base64-trailing-bits      in part  unused bits that are not zero, refused in a text of a whole macaroon, read in a value of JSON
//	base64-whitespace         refused  line breaks, at the end too
//	empty-vid                 refused  a verification id that is present and empty
//	first-party-location      refused  a location on a first-party caveat: nobody is there
//	json-both-forms           refused  a value in two spellings, such as i and i64, even if equal
//	json-duplicate-key        refused  a key twice, even with equal values
//	json-key-case             refused  a key in other letter case
//	json-l64                  read     a location in base64, which is the only way to write some
//	json-lone-surrogate       refused  an escape that is half of a surrogate pair
//	json-missing-identifier   in part  read in v2 JSON, as empty, since macaroon.v2 writes that; refused in v1 JSON
//	json-mixed-versions       refused  keys of v1 and v2 in one object
//	json-null                 in part  read as none for a location, and in v1 for a vid, since pymacaroons writes both
//	json-string-of-base64     read     the binary form in base64 in a JSON string
//	json-syntax               refused  what is not one JSON value, also where it is nested for no reason
//	json-unknown-key          refused  a key that the form does not have
//	json-version-field        refused  a version other than 2 and "2"; any in v1
//	v1-after-signature        refused  packets behind the signature that are no other macaroon
//	v1-cl-before-vid          refused  packets in another order
//	v1-json-empty-vid         refused  a verification id that is present and empty
//	v1-missing-location       refused  no location packet: an empty one says that there is none
//	v1-not-utf8               read     v1 binary with bytes that are not UTF-8; v1 JSON can't hold them
//	v2-location-not-utf8      read     any bytes are a hint
//	varint-non-minimal        refused  a length in more bytes than it needs
//	varint-non-minimal-type   refused  a field type in more bytes than it needs
//	varint-too-long           refused  the same in six bytes and more
//
// Beyond what other libraries dispute: an empty location is none, in every form; a
// v1 third-party caveat may lack its cl; hex is of either letter case; a
// verification id has 72 bytes.
package legacy

package thirdparty

import "encoding/json"

// version1Begin is how a caveat id of version 1 begins: as the base64 of any text that begins with a brace.
const version1Begin = 'e'

// openText reads version 1, which is the base64 of a JSON object. Inside its box there is another one.
//
// Names are taken exactly as they are written. encoding/json would match them to the fields of a struct whatever
// their case, so that a changed byte might go unnoticed.
func (k Keys) openText(id string) (opened, bool) {
	var outside, inside map[string]string
	wrapper, ok := decodeText(id)
	if !ok || json.Unmarshal(wrapper, &outside) != nil || len(outside) != 4 {
		return opened{}, false
	}
	parts := make(map[string]string, len(outside))
	for _, name := range []string{"ThirdPartyPublicKey", "FirstPartyPublicKey", "Nonce", "Id"} {
		raw, ok := decodeText(outside[name])
		if !ok {
			return opened{}, false
		}
		parts[name] = string(raw)
	}
	if len(parts["ThirdPartyPublicKey"]) != keySize {
		return opened{}, false
	}
	plain, firstParty, ok := k.openBox(parts["ThirdPartyPublicKey"], parts["FirstPartyPublicKey"], parts["Nonce"], parts["Id"])
	if !ok || json.Unmarshal([]byte(plain), &inside) != nil || len(inside) != 2 {
		return opened{}, false
	}
	rootKey, okRootKey := decodeText(inside["RootKey"])
	condition, okCondition := inside["Condition"]
	if !okRootKey || !okCondition {
		return opened{}, false
	}
	return opened{secret{rootKey, stdNamespace, condition}, version1, firstParty}, true
}

// decodeText reads text of any length but none in the one spelling that it has; see decodeExactly.
func decodeText(text string) ([]byte, bool) {
	raw, err := keyText.DecodeString(text)
	return raw, err == nil && len(raw) > 0 && keyText.EncodedLen(len(raw)) == len(text)
}

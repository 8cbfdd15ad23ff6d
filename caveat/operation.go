package caveat

import "strings"

// AnyOperation stands for every operation at once. Only "allow *" satisfies it: any narrower allow fails, and so
// does any deny.
const AnyOperation = "*"

// ValidOperation reports whether op names one operation: parts of [a-z0-9_-]+, separated by dots, as in
// "orders.read". [AnyOperation] does not name one.
func ValidOperation(op string) bool { return operationChars.dotted(op) }

// OperationCovers reports whether a grant of pattern is one of operation. An operation covers itself; "orders.*"
// covers what is deeper, as "orders.read" and "orders.items.read", but not "orders"; "*" covers everything, and
// it alone covers [AnyOperation]. A malformed pattern covers nothing, a malformed operation is not covered.
func OperationCovers(pattern, operation string) bool {
	return validOperationPattern(pattern) && (operation == AnyOperation || ValidOperation(operation)) &&
		covers(pattern, operation)
}

func validOperationPattern(pattern string) bool {
	return pattern == AnyOperation || ValidOperation(strings.TrimSuffix(pattern, ".*"))
}

// covers is OperationCovers for a well-formed pattern. What it says of a malformed operation means nothing.
func covers(pattern, operation string) bool {
	if last := len(pattern) - 1; pattern[last] == '*' {
		return strings.HasPrefix(operation, pattern[:last])
	}
	return pattern == operation
}

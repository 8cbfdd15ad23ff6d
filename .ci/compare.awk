# awk -f compare.awk expected printed: names the first line that differs. In expected, … matches any text.

NR == FNR { expected[++lines] = $0; next }

{
	if (FNR > lines) differ("nothing more")
	if (!matches(expected[FNR], $0)) differ(expected[FNR])
	read = FNR
}

END {
	if (failed) exit 1
	if (read < lines) { print "line " read + 1 " is missing: " expected[read + 1]; exit 1 }
}

function differ(want) {
	print "line " FNR
	print "  expected: " want
	print "  printed:  " $0
	failed = 1
	exit 1
}

# matches finds the parts between the … in text, each after the one before it, the first at the start and
# the last at the end.
function matches(pattern, text,    parts, n, i, at) {
	n = split(pattern, parts, "…")
	if (n < 2) return pattern == text
	if (substr(text, 1, length(parts[1])) != parts[1]) return 0
	text = substr(text, length(parts[1]) + 1)
	for (i = 2; i < n; i++) {
		if (parts[i] == "") continue
		if (!(at = index(text, parts[i]))) return 0
		text = substr(text, at + length(parts[i]))
	}
	return length(text) >= length(parts[n]) && substr(text, length(text) - length(parts[n]) + 1) == parts[n]
}

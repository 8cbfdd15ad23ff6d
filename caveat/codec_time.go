package caveat

import "time"

type timeCodec struct{}

// Parse is stricter than time.Parse, which takes commas, single digits and zones that RFC 3339 section 5.6 does not
// allow, and which cuts fractions off without a word.
func (timeCodec) Parse(argument string) (time.Time, error) {
	t, ok := parseTime(argument)
	if !ok {
		return time.Time{}, malformed("%s is not a time of RFC 3339 with a zone", quote(argument))
	}
	return t, nil
}

func (timeCodec) Format(value time.Time) (string, error) {
	utc := value.UTC()
	if utc.IsZero() || utc.Year() < 0 || utc.Year() > 9999 {
		return "", malformed("the time is not set, or its year has more than four digits")
	}
	return utc.Format(time.RFC3339Nano), nil
}

// parseTime reads YYYY-MM-DDThh:mm:ss, a fraction of up to nine digits, and Z, +hh:mm or -hh:mm.
func parseTime(s string) (time.Time, bool) {
	const dateTime = len("2006-01-02T15:04:05")
	if len(s) <= dateTime || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, false
	}
	century, year, month, day := pair(s[0:]), pair(s[2:]), pair(s[5:]), pair(s[8:])
	hour, minute, second := pair(s[11:]), pair(s[14:]), pair(s[17:])
	// A leap second has no place on Go's clock.
	if century > 99 || year > 99 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	year += 100 * century
	if day < 1 || day > daysIn(year, month) {
		return time.Time{}, false
	}

	zone := s[dateTime:]
	nanosecond := 0
	if zone[0] == '.' {
		n := 1
		for ; n < len(zone) && n <= 9 && zone[n]-'0' <= 9; n++ {
			nanosecond = 10*nanosecond + int(zone[n]-'0')
		}
		if n == 1 {
			return time.Time{}, false
		}
		nanosecond *= powersOf10[10-n]
		zone = zone[n:]
	}

	offset := 0
	if zone != "Z" {
		if len(zone) != len("+00:00") || zone[0] != '+' && zone[0] != '-' || zone[3] != ':' {
			return time.Time{}, false
		}
		hours, minutes := pair(zone[1:]), pair(zone[4:])
		if hours > 23 || minutes > 59 {
			return time.Time{}, false
		}
		offset = 3600*hours + 60*minutes
		if zone[0] == '-' {
			offset = -offset
		}
	}

	t := time.Unix(86400*int64(unixDay(year, month, day))+int64(3600*hour+60*minute+second-offset), int64(nanosecond)).UTC()
	switch {
	case t.IsZero():
		return time.Time{}, false
	case offset != 0 && (t.Year() < 0 || t.Year() > 9999):
		return time.Time{}, false // what can be read can be written, in UTC
	}
	return t, true
}

var powersOf10 = [...]int{1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000}

func daysIn(year, month int) int {
	switch {
	case month != 2:
		return 30 + (month+month>>3)&1
	case year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	}
	return 28
}

// unixDay counts the days from 1970-01-01. Its year begins in March, so that a leap day is the last of one; the
// months from there have 31, 30, 31, 30, 31 days, and so again, which is (153*m+2)/5 days before the m-th.
func unixDay(year, month, day int) int {
	const before1970 = 719468 + 146097 // from March of the year -400, so that no year is negative
	year, month = year+400+(month+9)/12-1, (month+9)%12
	return 365*year + year/4 - year/100 + year/400 + (153*month+2)/5 + day - 1 - before1970
}

// pair is the number that s begins with, in two digits; 100 if it does not.
func pair(s string) int {
	tens, ones := s[0]-'0', s[1]-'0'
	if tens > 9 || ones > 9 {
		return 100
	}
	return 10*int(tens) + int(ones)
}

package iis

import "testing"

func TestRequestID(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"&CorrelationID=<empty>;&cafeReqId=3656c386-1;&encoding=;":              "3656c386-1",
		"cafeReqId=made-up&x=1&CorrelationID=<empty>;&CafeReqID=3656c386-1;&e=": "3656c386-1",
		"x=1": "", "": "",
	} {
		if got := requestID(query); got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
}

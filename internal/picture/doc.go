// Package picture draws the picture of a whole population from single sightings:
// statistics only. It opens nothing, prints nothing and knows no river; whoever
// calls it turns stored records into its plain types.
//
// Adoption answers "how much of what was open is closed by when", for one CVE.
// Input: dated sightings of hosts, in any order. Output: the share of hosts that
// were fixed by each scan, with a 95 % band, bounds for the hosts that nobody can
// decide, and the time from the day a fix existed to the day it was in. Units:
// shares from 0 to 1, times in UTC, durations in days.
//
// The estimator is the nonparametric maximum likelihood estimate for data that
// are censored by intervals and truncated from the left: B. W. Turnbull, "The
// empirical distribution function with arbitrarily grouped, censored and truncated
// data", Journal of the Royal Statistical Society B 38 (1976). docs/adoption.md
// says what is assumed and what the numbers mean.
package picture

package exercise

import "time"

// era is a later campaign's time: a server of its stories has the builds of those days
// and logs from then. The range that was asked for is moved by whole days.
type era struct {
	days   int  // from the mass exploitation of March 2021
	window Span // of the campaign, as its pack says it
	builds []struct{ before, after [4]int }
}

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// The eras. The first builds are those of an administrator who stopped to patch.
var (
	// August 2021: the updates of April and May are missing.
	eraShell = &era{
		days:   168, // 2021-02-20 is 2021-08-07
		window: Span{date(2021, 8, 6), date(2021, 9, 30)},
		builds: summer,
	}
	// September 2021.
	eraToken = &era{
		days:   191, // 2021-02-20 is 2021-08-30
		window: Span{date(2021, 8, 30), date(2021, 9, 30)},
		builds: summer,
	}
	// December 2022: the update of November is missing.
	eraNotShell = &era{
		days:   651, // 2021-02-20 is 2022-12-03
		window: Span{date(2022, 9, 28), date(2023, 1, 10)},
		builds: []struct{ before, after [4]int }{
			{[4]int{15, 1, 2507, 13}, [4]int{15, 1, 2507, 16}},
			{[4]int{15, 2, 1118, 15}, [4]int{15, 2, 1118, 20}},
			{[4]int{15, 2, 986, 30}, [4]int{15, 2, 986, 36}},
			{[4]int{15, 0, 1497, 42}, [4]int{15, 0, 1497, 44}},
		},
	}
	summer = []struct{ before, after [4]int }{
		{[4]int{15, 1, 2176, 9}, [4]int{15, 1, 2176, 14}},
		{[4]int{15, 1, 2242, 4}, [4]int{15, 1, 2242, 10}},
		{[4]int{15, 2, 858, 5}, [4]int{15, 2, 858, 12}},
		{[4]int{15, 2, 792, 10}, [4]int{15, 2, 792, 15}},
		{[4]int{15, 0, 1497, 12}, [4]int{15, 0, 1497, 18}},
	}
)

// shift gives how far the range of the server's logs is moved.
func (e *era) shift() time.Duration {
	if e == nil {
		return 0
	}
	return time.Duration(e.days) * 24 * time.Hour
}

// windowOf gives the time that a server's logs have to cover: that of the campaign, or
// the one that was asked for, moved like the range.
func (e *era) windowOf(o *Options) Span {
	switch {
	case e == nil:
		return o.Window
	case o.Window == defaultWindow:
		return e.window
	}
	return Span{o.Window.From.Add(e.shift()), o.Window.To.Add(e.shift())}
}

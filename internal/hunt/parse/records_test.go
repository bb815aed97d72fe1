package parse

import "testing"

func TestChannelSource(t *testing.T) {
	t.Parallel()
	for channel, want := range map[string]string{
		"Microsoft-Windows-TaskScheduler/Operational": "microsoft-windows-taskscheduler-operational", "": "events", "Äö": "events",
	} {
		if got := ChannelSource(channel); got != want {
			t.Errorf("ChannelSource(%q) = %q, want %q", channel, got, want)
		}
	}
}

func TestOnlyText(t *testing.T) {
	t.Parallel()
	for literal, want := range map[string]bool{
		"4688": false, "0x1410": false, "cafe": false, "s-1-5-18": false, "true": false, "2021-03-03t": false, "{5770385f-": false, "1e+06": false, "nan": false,
		"1.5e+06": false, "43.12": false, ".5": false, "49.": false, ":49.1z": false, ".edb": true, "a.0": true, "..": true, "1.x": true,
		"lsass": true, "cmd.exe": true, `\\win`: true, "w": true, "-ma": true, "falsework": true,
	} {
		if got := OnlyText(literal); got != want {
			t.Errorf("OnlyText(%q) = %v", literal, got)
		}
	}
}

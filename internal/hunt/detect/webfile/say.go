package webfile

import "postern"

// deedNames are the parts of message keys and of the entity "variant".
var deedNames = [deeds]string{
	evaluates: "evaluates", starts: "starts", loads: "loads", compiles: "compiles", deserialises: "deserialises",
	transforms: "transforms", includes: "includes", writes: "writes", uploads: "uploads", connects: "connects",
	native: "native", keys: "keys", databases: "databases", queries: "queries", browses: "browses", plants: "plants",
	surveys: "surveys", listens: "listens",
}

// say puts a construct into words.
//
// catalogue: webfile.reaches.*, webfile.unclear.*
func (c construct) say(line int64) postern.Text {
	strength := "unclear"
	if c.flow == reaches {
		strength = "reaches"
	}
	key := "webfile." + strength + "." + deedNames[c.deed]
	return postern.Say(key, "line", line)
}

// signTexts are the sentences of the signs; zero for those that only weigh.
func signTexts() [signs]postern.Text {
	return [signs]postern.Text{
		signUnsafe:   postern.Say("webfile.sign.unsafe"),
		signJoined:   postern.Say("webfile.sign.joined"),
		signCoded:    postern.Say("webfile.sign.coded"),
		signOdd:      postern.Say("webfile.sign.odd"),
		signHidden:   postern.Say("webfile.sign.hidden"),
		signAssembly: postern.Say("webfile.sign.assembly"),
		signPassword: postern.Say("webfile.sign.password"),
		signEncoded:  postern.Say("webfile.sign.encoded"),
		signFormat:   postern.Say("webfile.sign.format"),
		signDecoder:  {},
	}
}

// variant names what a shell does, the worst first.
func (a *analysis) variant() string {
	if len(a.constructs) == 0 {
		return ""
	}
	switch a.constructs[0].deed {
	case evaluates:
		return "eval"
	case starts:
		return "process"
	case writes:
		return "file-writer"
	case uploads:
		return "upload"
	case connects:
		return "tunnel"
	}
	return deedNames[a.constructs[0].deed]
}

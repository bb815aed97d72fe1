package hunt

// Place says what the path of a file in the evidence tells of it: the part that
// stands for a host, "" if none does, and the place of the file on the server, in the
// form of [postern/internal/hunt/detect.File]. For whoever looks at a live server or a
// mounted image without hunting it.
func Place(p string) (host, server string) {
	host, server, _ = place(p)
	return host, server
}

// PlaceIn is Place of a file of an input whose own path is known: the folder of a live
// server, or of its web pages alone, says by it what its files are.
func PlaceIn(input, p string) (host, server string) {
	host, server, _ = placeIn(input, p)
	return host, server
}

package module

import "time"

// File is what the modules look at: the bytes of one file, and what was computed of
// them. It belongs to one goroutine at a time.
type File struct {
	Data []byte
	// Now is the time that time.now gives; zero means the time of asking.
	Now time.Time
	// Log is told what console.log and console.hex say; nil drops it.
	Log func(line string)

	modules       map[*Module]any
	hashes        map[span]string
	distributions map[span]*distribution
}

// span is a range of a file, under one of the hashes if it has a name.
type span struct {
	hash       string
	start, end int
}

// loaded gives what a module keeps of this file.
func (f *File) loaded(m *Module) any {
	if m.load == nil {
		return f
	}
	if of, ok := f.modules[m]; ok {
		return of
	}
	of := m.load(f)
	if f.modules == nil {
		f.modules = make(map[*Module]any)
	}
	f.modules[m] = of
	return of
}

package source

// The bounds. Each has its reason; Limits replaces them in tests and by users
// who know their evidence.
const (
	// MaxMembers is how many files and folders one archive may have. A full
	// collection of one server has 100,000 to 300,000; an open member costs 150
	// to 400 bytes of memory besides its name.
	MaxMembers = 500_000
	// MaxNameBytes is the length of all names of one archive together: the names
	// of 500,000 members at 130 bytes each. Long names compress to nothing.
	MaxNameBytes = 64 << 20
	// MaxNameLength is the length of one path inside an archive. Windows programs
	// that did not ask for more stop at 260; generated .NET paths reach 400.
	MaxNameLength = 1024
	// MaxPathDepth is how many folders deep a file may lie. No server has a tree
	// half as deep, and every level of a folder on disk holds one handle open.
	MaxPathDepth = 64
	// MaxNesting is how many archives may lie inside one another: a collection of
	// collections whose logs are packed is three.
	MaxNesting = 3
	// MaxRatio is how many bytes one byte of archive may become, over the whole
	// archive and all archives inside it. Logs pack 10 to 60 to one, the most
	// monotonous 150; deflate bombs reach 1,032.
	MaxRatio = 200
	// FreeBytes is what every archive may become whatever its ratio, so that a
	// small archive of an empty, preallocated log is read.
	FreeBytes = 1 << 30
	// MaxTotalBytes is how much one evidence may unpack to: 500 servers of 16 GiB.
	MaxTotalBytes = 8 << 40
	// MaxTempBytes is how much may lie unpacked on disk at one time: the largest
	// collection of one server that is planned for, 64 GiB.
	MaxTempBytes = 64 << 30
	// KeepFree is how much of the temporary disk is left alone. Exchange stops
	// taking mail, and Windows stops logging, when the disk is full.
	KeepFree = 2 << 30
	// MaxOpenArchives is how many archives stay open when nobody reads them, each
	// with a file handle or two and the list of its members.
	MaxOpenArchives = 8
	// MaxWindow is the memory that one decompressor may ask for: the dictionary of
	// 7z at its strongest setting, twice that of zstd's --ultra.
	MaxWindow = 256 << 20
	// MaxHeader is the size of the directory of a 7z archive: MaxMembers with
	// names, times and sizes.
	MaxHeader = 128 << 20
	// MaxSameProblems is how many problems of one kind are named one by one; the
	// rest is counted. A tree of a million links must not fill the report.
	MaxSameProblems = 1000
)

// Limits are the bounds of one evidence. A zero field means the constant of
// about the same name.
type Limits struct {
	Members      int
	NameBytes    int
	NameLength   int
	PathDepth    int
	Nesting      int
	Ratio        int64
	FreeBytes    int64
	TotalBytes   int64
	TempBytes    int64
	KeepFree     int64
	OpenArchives int
	Window       int64
	Header       int64
}

func (l Limits) withDefaults() Limits {
	set(&l.Members, MaxMembers)
	set(&l.NameBytes, MaxNameBytes)
	set(&l.NameLength, MaxNameLength)
	set(&l.PathDepth, MaxPathDepth)
	set(&l.Nesting, MaxNesting)
	set(&l.Ratio, MaxRatio)
	set(&l.FreeBytes, FreeBytes)
	set(&l.TotalBytes, MaxTotalBytes)
	set(&l.TempBytes, MaxTempBytes)
	set(&l.KeepFree, KeepFree)
	set(&l.OpenArchives, MaxOpenArchives)
	set(&l.Window, MaxWindow)
	set(&l.Header, MaxHeader)
	return l
}

func set[T int | int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

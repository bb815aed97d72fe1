package indicator

// HasFeeds says whether some indicator is of a feed that the user gave, so that it is
// looked for in every event and not only beside what rules find.
func (s *Set) HasFeeds() bool {
	for _, o := range s.origins {
		if o.feed {
			return true
		}
	}
	return false
}

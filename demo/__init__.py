"""A city at work: made-up units, documents and a compressed workday through a real centre."""

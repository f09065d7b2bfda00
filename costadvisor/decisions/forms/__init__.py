"""Forms of the decision pages. They build parts of a written case; what it means is checked where a case is read."""

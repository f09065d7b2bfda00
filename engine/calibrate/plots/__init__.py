"""A record's plots: as data (`of_record`, `residuals`), and drawn in a terminal, as HTML and as SVG."""

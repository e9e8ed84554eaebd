def render_report(figures): return str(figures)

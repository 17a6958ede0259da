extension Timeline {
  /// The timeline as a page that needs nothing else: no other file, no network.
  /// - Parameters:
  ///   - title: What it is a trace of.
  ///   - summary: The timeline's own.
  package func page(title: String, summary: TraceSummary) -> String {
    """
    <!doctype html>
    <html lang="en"><head><meta charset="utf-8"><title>apus trace</title>
    <style>
    \(PageStyle.text)
    </style></head><body>
    <header><h1 id="title"></h1><p id="facts"></p>
    <p id="legend"></p>
    <p class="help">drag: move · wheel over processors, or with ctrl: zoom · double click: zoom to what is there · \
    w a s d: zoom and move · 0: all</p></header>
    <canvas id="processors"></canvas>
    <div id="bar"><label>goroutines <input id="filter" placeholder="function or number" type="search"></label>
    <select id="order"><option value="0">by number</option><option value="1">by time running</option>
    <option value="2">by time runnable</option><option value="3">by function</option></select>
    <span id="shown"></span></div>
    <div id="scroller"><div id="extent"><canvas id="goroutines"></canvas></div></div>
    <div id="tip"></div>
    <script id="data" type="application/json">\(PageData(self, title: title, summary: summary).json)</script>
    <script>
    \(PageScript.text)
    </script></body></html>

    """
  }
}

/// The looks of the page.
enum PageStyle {
  static let text = """
    html, body { height: 100%; margin: 0; }
    body { display: flex; flex-direction: column; font: 13px/1.4 system-ui, sans-serif; color: #1d2733; background: #fff; }
    header { padding: 10px 16px 6px; border-bottom: 1px solid #d9dfe6; }
    h1 { font-size: 16px; margin: 0 0 2px; font-weight: 600; }
    header p { margin: 0 0 3px; }
    .help { color: #6b7785; font-size: 12px; }
    #legend span { display: inline-block; margin-right: 14px; }
    #legend i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 5px; vertical-align: -1px; }
    canvas { display: block; cursor: grab; }
    canvas:active { cursor: grabbing; }
    #processors { flex: none; }
    #bar { flex: none; padding: 6px 16px; border-top: 1px solid #d9dfe6; border-bottom: 1px solid #d9dfe6; background: #f5f7f9; }
    #bar input, #bar select { font: inherit; padding: 1px 5px; margin: 0 10px 0 4px; border: 1px solid #b9c3ce; border-radius: 3px; background: #fff; }
    #shown { color: #6b7785; }
    #scroller { flex: 1; overflow-y: auto; overflow-x: hidden; min-height: 60px; }
    #extent { position: relative; }
    #goroutines { position: sticky; top: 0; }
    #tip { position: fixed; display: none; pointer-events: none; max-width: 560px; padding: 7px 10px; background: #1d2733;
      color: #eef2f6; font-size: 12px; white-space: pre-wrap; border-radius: 4px; overflow-wrap: anywhere; box-shadow: 0 2px 8px #0004; }
    #tip b { color: #fff; }
    """
}

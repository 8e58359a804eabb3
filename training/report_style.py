"""The style sheet of report.html: one for light and dark screens, phones and paper."""

from training.report_html import Html

STYLE = Html("""
:root{color-scheme:light dark;--back:#fff;--card:#f4f6f9;--text:#1a2028;--soft:#566170;--line:#d5dbe3;
--good:#1c5fb8;--bad:#b34700;--on:#fff;--count:#8a95a5}
@media (prefers-color-scheme:dark){:root{--back:#12161c;--card:#1c222b;--text:#e8ecf2;--soft:#a3afbe;--line:#37414e;
--good:#6fa8ff;--bad:#ff9a52;--on:#0b0f14;--count:#76839a}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:70rem;background:var(--back);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2.5rem 0 .5rem;border-bottom:1px solid var(--line);padding-bottom:.25rem}
h3{font-size:1rem;margin:1.25rem 0 .25rem}
p{max-width:46rem;margin:.5rem 0}
a{color:var(--good)}
:focus-visible{outline:3px solid var(--good);outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--back);padding:.5rem}
nav ul{display:flex;flex-wrap:wrap;gap:0 1rem;list-style:none;padding:0;margin:1rem 0 0}
nav a{display:inline-block;padding:.25rem 0}
.soft,caption{color:var(--soft)}
.warning{border-left:4px solid var(--bad);background:var(--card);padding:.6rem 1rem}
code{font-size:.875em;overflow-wrap:anywhere}
dl{margin:0}dd{margin:0}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem}.facts dt{color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:.75rem;margin:1.25rem 0}
.cards>div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.75rem 1rem}
.cards dt{color:var(--soft)}.cards .value{font-size:1.8rem;line-height:1.3;font-weight:650}
.cards .soft{font-size:.875rem}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.5rem 0}
caption{text-align:left;padding-bottom:.25rem}
th,td{text-align:left;padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600}tbody th{font-weight:400}
th.number,td.number{text-align:right}td.number{white-space:nowrap}
tbody th{min-width:8rem;overflow-wrap:anywhere}
.photos{display:grid;grid-template-columns:repeat(auto-fill,minmax(10.5rem,1fr));gap:1rem;list-style:none;padding:0}
figure{margin:0}.photos img,.photos .none{display:block;width:100%;height:10.5rem;object-fit:contain;
background:var(--card);border-radius:.4rem}
.photos .none{padding:1rem;color:var(--soft)}
figcaption{font-size:.875rem;line-height:1.4;padding-top:.35rem;overflow-wrap:anywhere}
figcaption span{display:block}figcaption .file{color:var(--soft);font-size:.8rem}
.wrong{color:var(--bad)}
.charts{display:flex;flex-wrap:wrap;gap:1rem 2rem;margin:.5rem 0;align-items:flex-start}
.even{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(16rem,100%),1fr))}
.even .chart{width:100%;max-width:27rem}
.chart{max-width:100%;height:auto;display:block}.chart.whole{max-width:none}
.chart text{fill:var(--text);font-family:inherit}.chart text.soft{fill:var(--soft)}.chart text.on{fill:var(--on)}
.grid{stroke:var(--line);fill:none}.sheet{fill:var(--card)}
.line{fill:none;stroke-width:2}.first{stroke:var(--good)}.second{stroke:var(--bad)}.line.second{stroke-dasharray:6 3}
.dot{fill:var(--back);stroke-width:2}.best{stroke:var(--soft);stroke-dasharray:2 3}
.bar{fill:var(--good);fill-opacity:.75}.count{fill:var(--count)}.gap{stroke:var(--bad);stroke-width:2}
.diagonal{stroke:var(--soft);stroke-dasharray:5 4;fill:none}
.trial{fill:var(--good);fill-opacity:.8}.trial.stopped{fill:var(--back);stroke:var(--good);stroke-width:2}
.cross{stroke:var(--bad);stroke-width:2;fill:none}.ring{fill:none;stroke:var(--text);stroke-width:2}
.whisker{stroke-width:2;fill:none}.dot.first{stroke:var(--good)}.dot.second{stroke:var(--bad)}
.interval{display:block;width:100%;height:.7rem;margin:.2rem 0 .35rem}.mark{fill:var(--text)}
.hit{fill:var(--good)}.miss{fill:var(--bad)}
.share{width:6rem;height:.6rem;background:var(--card)}.share.long{width:14rem}
summary{cursor:pointer;padding:.35rem 0;color:var(--good)}
@media (max-width:30rem){body{padding:1rem .75rem 3rem}.facts{grid-template-columns:1fr}.facts dt{margin-top:.4rem}
.photos,.cards{grid-template-columns:repeat(2,minmax(0,1fr))}.photos img,.photos .none{height:9rem}
.cards>div{padding:.6rem .7rem}.cards .value{font-size:1.45rem}th,td{padding-right:.6rem}}
@media print{:root{color-scheme:light;--back:#fff;--card:#f4f6f9;--text:#000;--soft:#444;--line:#bbb;--good:#1c5fb8;
--bad:#b34700;--on:#fff;--count:#777}
body{max-width:none;padding:0;font-size:10pt}nav,.skip{display:none}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
figure,svg,.cards>div,tr{break-inside:avoid}h2,h3{break-after:avoid}
.scroll{overflow:visible}.chart.whole{max-width:100%}
details::details-content{content-visibility:visible;height:auto}summary{list-style:none;color:var(--text)}}
""")

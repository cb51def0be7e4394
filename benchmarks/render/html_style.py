"""The style sheet of the HTML report: light, dark and print; nothing is loaded from anywhere."""

STYLE = """
:root{--surface:#fcfcfb;--panel:#ffffff;--ink:#16161a;--soft:#5b5a57;--faint:#8a8986;--rule:#e4e3df;--grid:#ecebe7;
--c1:#2a78d6;--c2:#eb6834;--c3:#1baf7a;--c4:#eda100;--c5:#4a3aa7;--c6:#e87ba4;
--good:#0a7a33;--bad:#c02b2b;--open:#8a5a00;--good-back:#e6f4ea;--bad-back:#fbe9e9;--open-back:#fdf1d8}
@media (prefers-color-scheme:dark){:root{--surface:#161615;--panel:#1e1e1c;--ink:#f3f2ee;--soft:#bdbcb6;--faint:#8f8e88;
--rule:#373733;--grid:#2b2b28;--c1:#3987e5;--c2:#d95926;--c3:#199e70;--c4:#c98500;--c5:#9085e9;--c6:#d55181;
--good:#5cc27e;--bad:#f08080;--open:#e0b04d;--good-back:#16301f;--bad-back:#3a1c1c;--open-back:#352a11}}
*{box-sizing:border-box}
html{background:var(--surface);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
-webkit-text-size-adjust:100%}
body{max-width:1180px;margin:0 auto;padding:36px 28px 64px}
h1{font-size:30px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:20px;margin:44px 0 4px;letter-spacing:-.005em}
h3{font-size:15px;margin:0 0 2px}
p{margin:4px 0 12px;max-width:78ch;color:var(--soft)}
header p{font-size:15px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(142px,1fr));gap:12px;margin:22px 0 0;padding:0}
.tile{background:var(--panel);border:1px solid var(--rule);border-radius:10px;padding:14px 16px}
.tile .name{color:var(--soft);font-size:13px}
.tile .figure{font-size:23px;white-space:nowrap;font-weight:600;letter-spacing:-.01em;line-height:1.3}
.tile .more{color:var(--soft);font-size:12.5px;line-height:1.4}
.panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:16px;margin:14px 0}
.panel{background:var(--panel);border:1px solid var(--rule);border-radius:10px;padding:16px 18px 12px;margin:0;
min-width:0;break-inside:avoid}
.wide{grid-column:1/-1;display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:8px 32px}
.panel p{font-size:13px;margin:0 0 8px}
.scroll{overflow-x:auto;margin:12px 0}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th,td{padding:6px 12px 6px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--rule);
overflow-wrap:break-word}
th{font-weight:600;color:var(--soft);font-size:12.5px;border-bottom-color:var(--faint);vertical-align:bottom}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;overflow-wrap:normal}
tbody th{font-weight:500;color:var(--ink);font-size:13.5px;border-bottom-color:var(--rule);vertical-align:top}
td.n small{white-space:nowrap}
td small,th small{display:block;color:var(--faint);font-size:11.5px;font-weight:400}
td .why{color:var(--faint);font-size:12px}
.badge{display:inline-block;border-radius:999px;padding:1px 9px;font-size:12px;font-weight:600;white-space:nowrap}
.pass{color:var(--good);background:var(--good-back)}.fail{color:var(--bad);background:var(--bad-back)}
.inconclusive,.no-budget{color:var(--open);background:var(--open-back)}
.kind{color:var(--soft);border:1px solid var(--rule);font-weight:500;font-size:11px;padding:0 7px}
svg{display:block;width:100%;height:auto;max-width:620px;font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
svg text{fill:var(--soft)}svg .label{fill:var(--ink);font-size:12.5px}svg .value{fill:var(--ink);font-weight:600}
svg .note{fill:var(--faint)}svg .tick{font-size:11.5px}
.end{text-anchor:end}.middle{text-anchor:middle}
.grid{stroke:var(--grid)}.axis{stroke:var(--faint)}.level{stroke:var(--faint);stroke-dasharray:4 4}
.whisker{stroke-width:2;opacity:.55}.line{fill:none;stroke-width:2}.dot{stroke:var(--panel);stroke-width:2}
.faint{opacity:.6}
.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}.f5{fill:var(--c5)}.f6{fill:var(--c6)}
.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}.s4{stroke:var(--c4)}.s5{stroke:var(--c5)}
.s6{stroke:var(--c6)}
.b1{background:var(--c1)}.b2{background:var(--c2)}.b3{background:var(--c3)}.b4{background:var(--c4)}
.b5{background:var(--c5)}.b6{background:var(--c6)}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;list-style:none;margin:2px 0 8px;padding:0;font-size:12.5px;
color:var(--soft)}
.key{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:6px}
footer{margin-top:48px;color:var(--faint);font-size:12.5px}
@media print{:root{--surface:#fff;--panel:#fff;--ink:#000;--soft:#333;--faint:#555;--rule:#bbb;--grid:#ddd;
--c1:#2a78d6;--c2:#eb6834;--c3:#1baf7a;--c4:#eda100;--c5:#4a3aa7;--c6:#e87ba4;
--good:#0a7a33;--bad:#c02b2b;--open:#8a5a00;--good-back:#e6f4ea;--bad-back:#fbe9e9;--open-back:#fdf1d8}
@page{margin:14mm}html{font-size:11px}body{max-width:none;padding:0;-webkit-print-color-adjust:exact;
print-color-adjust:exact}
header p,p,.panel p{font-size:9.5px;margin:1px 0 5px}.badge{font-size:9px}.kind{font-size:8.5px}
.legend{font-size:9px}h3{font-size:11px}.tile .name,.tile .more{font-size:8.5px}th{font-size:9.5px}
h1{font-size:22px}h2{font-size:15px;margin-top:22px;break-after:avoid}table{font-size:10px}.tile .figure{font-size:15px}
.tiles{grid-template-columns:repeat(auto-fit,minmax(84px,1fr));gap:5px}.tile{padding:8px 10px;break-inside:avoid}
.panels,.wide{grid-template-columns:1fr 1fr;gap:10px}svg{font-size:13px}td small,th small{font-size:8.5px}
tr{break-inside:avoid}.scroll{overflow:visible}thead{display:table-header-group}th,td{padding:3px 8px 3px 0}
tbody th{font-size:10px}}
"""

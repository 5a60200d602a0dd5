// One plot. Plotly.react draws new data into the plot that stands, so a reader's zoom survives (layout.uirevision).

let plotly;

function load(source) {
    plotly ??= new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = source;
        script.onload = () => resolve(window.Plotly);
        script.onerror = () => reject(new Error(`Plots cannot be drawn: ${source} did not load.`));
        document.head.append(script);
    });
    return plotly;
}

// Text, grid and background come from the page's theme, traces bring their own colours.
function template(host) {
    const style = getComputedStyle(host);
    const value = (name) => style.getPropertyValue(`--st-${name}`).trim();
    const [text, border, background] = [value("text-color"), value("border-color"), value("background-color")];
    const axis = { gridcolor: border, zerolinecolor: border, linecolor: border, zeroline: false, automargin: true };
    return { layout: {
        font: { family: value("font"), color: text, size: 12 },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        xaxis: { ...axis, showgrid: false }, yaxis: axis,
        hoverlabel: { bgcolor: background, bordercolor: border, font: { color: text } },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: value("gray-text-color"), activecolor: value("primary-color") },
    } };
}

// What is done to one plot is done in turn: plotly.js trips over a plot that goes away while it draws.
function inTurn(host, task) {
    host.turn = (host.turn ?? Promise.resolve()).then(task);
    return host.turn;
}

// Only the newest data are drawn: plotly.js may arrive after several of them.
async function draw(host, data) {
    const Plotly = await load(data.source);
    if (host.newest !== data) return;
    const figure = JSON.parse(data.figure);
    const layout = { ...figure.layout, template: template(host), autosize: true,
        clickmode: data.selectable ? "event+select" : "event" };
    if (document.fullscreenElement === host) layout.height = window.innerHeight;
    const wanted = JSON.stringify(data.config);
    const config = wanted === host.wanted ? undefined : { ...data.config, modeBarButtonsToAdd: [{
        name: "fullScreen", title: "Full screen and back", icon: Plotly.Icons.autoscale,
        click: () => (document.fullscreenElement ? document.exitFullscreen() : host.requestFullscreen()),
    }] };
    host.wanted = wanted; // Plotly.react begins a new plot, without the zoom, where it is given another config
    await Plotly.react(host, figure.data, layout, config);
    if (host.listening) return;
    host.listening = true;
    const report = (points) => host.select(points.map((point) => point.customdata).filter((value) => value != null));
    host.on("plotly_selected", (event) => event && report(event.points));
    host.on("plotly_deselect", () => report([]));
    const resized = () => host.newest && host.offsetWidth && host.offsetWidth !== host._fullLayout.width;
    host.sizes = new ResizeObserver(() => inTurn(host, () => resized() && Plotly.Plots.resize(host)));
    host.sizes.observe(host);
}

export default function ({ parentElement, data, setStateValue }) {
    const host = parentElement.querySelector(".ai-plot");
    host.setAttribute("aria-label", data.alt);
    host.style.height = `${data.height}px`;
    host.select = (points) => data.selectable && setStateValue("points", points);
    host.newest = data;
    host.onfullscreenchange = () => inTurn(host, () => draw(host, host.newest));
    inTurn(host, () => draw(host, data)).catch((error) => {
        host.turn = null;
        host.textContent = error.message;
        throw error;
    });
    return () => {
        host.newest = null;
        host.sizes?.disconnect();
        inTurn(host, () => window.Plotly?.purge(host));
    };
}

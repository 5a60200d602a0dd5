// A slider for the number field above it. The field holds the value; the slider writes into it and follows it.

const POSITIONS = 200;  // on a log scale: neighbours differ by a few percent
const LEAST = 1e-6;     // of a log scale that begins at 0: its share of the highest value, one position above 0

const typedInto = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;

function scale({ low, high, log, whole }) {
    const bottom = low > 0 ? low : high * LEAST;
    const shift = low > 0 ? 0 : 1; // position 0 stands for 0 itself
    const span = POSITIONS - shift;
    return log ? {
        end: POSITIONS, step: 1,
        value: (at) => (at < shift ? 0 : bottom * (high / bottom) ** ((at - shift) / span)),
        place: (value) => (value <= 0 ? 0 : shift + span * Math.log(value / bottom) / Math.log(high / bottom)),
    } : {
        end: high - low, step: whole ? 1 : (high - low) / POSITIONS,
        value: (at) => low + at, place: (value) => value - low,
    };
}

// Two digits are enough to move by; the ends are exact.
function text(value, { low, high, log, whole }, plain) {
    const exact = value <= low || value >= high || (whole && !log);
    const rounded = exact ? value : Number(value.toPrecision(2));
    return whole ? Math.round(rounded).toLocaleString("en-US", { useGrouping: !plain }) : String(rounded);
}

export default function ({ parentElement, data }) {
    const slider = parentElement.querySelector("input");
    const place = parentElement.closest("[data-testid=stElementContainer]");
    const field = () => place.previousElementSibling?.querySelector("input");
    const { end, step, value, place: placed } = scale(data);
    Object.assign(slider, { min: 0, max: end, step, disabled: data.disabled });
    slider.setAttribute("aria-label", `${data.label}, slider`);

    function show(words) {
        slider.style.setProperty("--fill", `${(100 * slider.value) / end}%`);
        slider.setAttribute("aria-valuetext", words || data.empty);
        slider.classList.toggle("ai-unset", !words);
    }
    function follow() {
        const words = (field()?.value ?? data.value).trim();
        const number = Number(words.replaceAll(",", "").replace("−", "-"));
        // What the slider wrote itself is rounded: it stays where it is, or the arrow keys would get stuck.
        if (words !== slider.written) slider.value = words && Number.isFinite(number) ? placed(number) : 0;
        show(words);
    }
    function write() {
        const target = field();
        const words = text(value(Number(slider.value)), data, target.type === "number");
        typedInto.call(target, words); // React hears of it by the event alone
        slider.written = words;
        target.dispatchEvent(new Event("input", { bubbles: true }));
        show(words);
    }
    const row = place.parentElement;
    function stop() {
        row.removeEventListener("input", slider.typed);
        row.removeEventListener("click", slider.typed);
    }
    stop(); // called anew at every refresh of the page
    slider.typed = (event) => {
        if (event.target === slider || !event.isTrusted) return;
        if (event.target === field()) slider.written = null;
        requestAnimationFrame(follow); // the buttons of a number field are not done yet
    };
    row.addEventListener("input", slider.typed);
    row.addEventListener("click", slider.typed);
    slider.oninput = write;
    slider.onchange = () => field().dispatchEvent(new FocusEvent("focusout", { bubbles: true }));
    follow();
    return stop;
}

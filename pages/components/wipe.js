// One picture over another; a range input over both moves the edge between them.
export default function ({ parentElement, data }) {
    const frame = parentElement.querySelector(".ai-wipe");
    const [below, over] = frame.querySelectorAll("img");
    const slider = frame.querySelector("input");
    Object.assign(below, { src: data.below, alt: data.below_name });
    Object.assign(over, { src: data.over, alt: data.over_name });
    slider.setAttribute("aria-label", `Share shown of ${data.over_name}, the rest is ${data.below_name}`);
    slider.oninput = () => {
        frame.style.setProperty("--share", `${slider.value}%`);
        slider.setAttribute("aria-valuetext", `${slider.value} percent`);
    };
    slider.oninput();
}

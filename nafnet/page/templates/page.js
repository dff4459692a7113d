// The slider between two pictures. The range input carries mouse, touch and keyboard; this only shows its value.
for (const compare of document.querySelectorAll(".compare")) {
  const range = compare.querySelector("input");
  const show = () => {
    compare.style.setProperty("--split", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} %`);
  };
  range.addEventListener("input", show);
  show();
}

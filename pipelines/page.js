"use strict";
(() => {
  const element = (id) => document.getElementById(id);
  const make = (name, text = "", properties = {}) => Object.assign(document.createElement(name), { textContent: text }, properties);
  const drawn = (name, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };

  // The table
  const body = document.querySelector("#studies tbody");
  const rows = [...body.rows];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const heads = [...document.querySelectorAll("#studies .sort")];
  const alphabet = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

  const keyOf = (row, column, isNumber) => {
    const cell = row.cells[column];
    const key = cell.dataset.key ?? cell.textContent.trim();
    return isNumber && key !== "" ? Number(key) : key;
  };

  const sortBy = (button) => {
    const head = button.parentElement;
    const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const isNumber = "number" in button.dataset;
    const keys = new Map(rows.map((row) => [row, keyOf(row, Number(button.dataset.column), isNumber)]));
    rows.sort((one, other) => {
      const [a, b] = [keys.get(one), keys.get(other)];
      if (a === "" || b === "") return (a === "") - (b === ""); // what is not there comes last either way
      return way * (isNumber ? a - b : alphabet.compare(a, b));
    });
    for (const each of heads) each.parentElement.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
    body.replaceChildren(...rows);
  };
  for (const button of heads) button.addEventListener("click", () => sortBy(button));

  const search = () => {
    const words = element("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => texts.get(row).includes(word));
      shown += !row.hidden;
    }
    element("count").textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
    element("nothing").hidden = shown > 0;
  };
  element("search").addEventListener("input", search);
  for (const chip of document.querySelectorAll("[data-flag]")) {
    chip.addEventListener("click", () => {
      const field = element("search");
      field.value = field.value === chip.dataset.flag ? "" : chip.dataset.flag;
      search();
    });
  }

  // One study
  const viewer = element("viewer");
  const loaded = new Map();
  let current = null; // its row
  let study = null; // what its study.js says

  window.sliceweaveStudy = (content) => loaded.set(content.key, content);

  const load = (row) => {
    const { key, folder } = row.dataset;
    if (loaded.has(key)) return Promise.resolve(loaded.get(key));
    return new Promise((resolve) => {
      const script = document.createElement("script");
      const done = () => {
        script.remove();
        resolve(loaded.get(key) ?? null);
      };
      script.addEventListener("load", done);
      script.addEventListener("error", done);
      script.src = `${folder}study.js`;
      document.head.append(script);
    });
  };

  const open = async (row) => {
    current = row;
    study = null;
    element("viewer-title").textContent = row.querySelector(".open").textContent;
    showNumbers(row);
    for (const id of ["stage", "controls", "sheet", "no-picture"]) element(id).hidden = true;
    const [before, after] = neighbours();
    element("before").disabled = !before;
    element("after").disabled = !after;
    if (!viewer.open) viewer.showModal();
    const content = await load(row);
    if (row !== current) return; // another study was opened meanwhile
    study = content;
    showLesions(content?.lesions);
    showPictures(row);
  };

  const neighbours = () => {
    const shown = rows.filter((row) => !row.hidden);
    const others = shown.filter((row) => row === current || row.dataset.key !== current.dataset.key);
    const at = others.indexOf(current);
    return [others[at - 1], others[at + 1]];
  };

  const showNumbers = (row) => {
    const own = rows.filter((other) => other.dataset.key === row.dataset.key);
    const names = heads.slice(1).map((head) => [head.textContent, Number(head.dataset.column)]);
    const lines = names
      .filter(([name]) => name !== "Flags")
      .map(([name, column]) => [name, ...own.map((each) => each.cells[column].textContent)])
      .filter(([, ...cells]) => cells.some(Boolean));
    element("numbers").replaceChildren(...lines.map((cells) => tableRow(cells, cells.map((_, place) => place > 0))));
    const flags = own.flatMap((each) => [...each.querySelectorAll(".chip")]);
    const unlike = new Map(flags.map((flag) => [flag.textContent, flag.title]));
    element("study-flags").replaceChildren(
      ...[...unlike].map(([name, meaning]) => {
        const item = make("li", ` ${meaning}`);
        item.prepend(make("span", name, { className: "chip" }));
        return item;
      }),
    );
    const links = [["sheet", "slices with lesion in one picture"], ["viewer", "look around in the scan"]]
      .filter(([kind]) => row.dataset[kind])
      .map(([kind, text]) => make("a", text, { href: row.dataset[kind], target: "_blank", rel: "noopener" }));
    element("links").replaceChildren(...links.flatMap((link) => [link, "\u2003"]));
    element("lesions").replaceChildren();
    element("more-lesions").textContent = "";
  };

  const tableRow = (cells, numbers) => {
    const row = document.createElement("tr");
    row.append(
      ...cells.map((text, place) => make(place ? "td" : "th", text, { className: numbers[place] ? "number" : "" })),
    );
    return row;
  };

  const showLesions = (lesions) => {
    if (!lesions || !lesions.rows.length) return;
    const { columns, numbers } = lesions;
    const head = document.createElement("thead");
    head.append(document.createElement("tr"));
    head.rows[0].append(...columns.map((name, place) => make("th", name, { className: numbers[place] ? "number" : "" })));
    element("lesions").replaceChildren(head, ...lesions.rows.map((cells) => tableRow(cells, numbers)));
    element("more-lesions").textContent = lesions.more ? `and ${lesions.more} smaller` : "";
  };

  const showPictures = (row) => {
    const drawing = study?.slices;
    if (!drawing) {
      element("sheet").hidden = !row.dataset.sheet;
      element("no-picture").hidden = Boolean(row.dataset.sheet);
      if (row.dataset.sheet) element("sheet").src = row.dataset.sheet;
      return;
    }
    const [width, height] = drawing.size;
    const stage = element("stage");
    stage.style.aspectRatio = `${width} / ${height}`;
    stage.style.width = `min(100%, calc(62vh * ${width / height}))`;
    element("contours").setAttribute("viewBox", `0 0 ${width} ${height}`);
    [element("left-side").textContent, element("right-side").textContent] = drawing.sides;
    element("names").replaceChildren(
      ...Object.values(drawing.labels).flatMap(({ name, colour }) => {
        const swatch = make("span", "", { className: "swatch" });
        swatch.style.background = colour;
        return [swatch, name];
      }),
    );
    const slider = element("slider");
    slider.max = drawing.slices.length - 1;
    slider.value = drawing.start;
    drawProfile();
    stage.hidden = false;
    element("controls").hidden = false;
    showSlice();
    slider.focus();
  };

  const areasOf = (index) =>
    Object.entries(study.areas_mm2).map(([label, areas]) => [label, areas[index] ?? 0]).filter(([, area]) => area > 0);

  const drawProfile = () => {
    const totals = study.slices.slices.map(({ index }) => areasOf(index).reduce((sum, [, area]) => sum + area, 0));
    const most = Math.max(...totals, 1e-9);
    const width = 100 / totals.length;
    element("profile").replaceChildren(
      ...totals.map((total, place) => {
        const height = total > 0 ? Math.max((18 * total) / most, 1) : 0.4;
        return drawn("rect", { x: place * width, y: 20 - height, width: width * 0.8, height });
      }),
    );
  };

  const areaText = (area) => (area < 100 ? `${area.toFixed(1)} mm²` : `${(area / 100).toFixed(2)} cm²`);

  const showSlice = () => {
    const { slices, labels, of } = study.slices;
    const at = Number(element("slider").value);
    const slice = slices[at];
    element("slice").src = current.dataset.folder + slice.file;
    element("contours").replaceChildren(
      ...Object.entries(slice.paths).map(([label, d]) => drawn("path", { d, stroke: labels[label].colour })),
    );
    const areas = areasOf(slice.index).map(([label, area]) => `${label} ${areaText(area)}`);
    const name = slices.length < of ? `${slice.name} of 0–${of - 1}, ${slices.length} shown` : `${slice.name} of 0–${of - 1}`;
    element("where").textContent = [name, slice.position, ...areas].filter(Boolean).join(" · ");
    element("slice").alt = element("where").textContent;
    [...element("profile").children].forEach((bar, place) => bar.classList.toggle("here", place === at));
    for (const near of [slices[at - 1], slices[at + 1]]) {
      if (near) new Image().src = current.dataset.folder + near.file;
    }
  };

  const step = (by) => {
    if (!study?.slices) return;
    const slider = element("slider");
    slider.value = Number(slider.value) + by;
    showSlice();
  };

  const toggle = () => element("contours").toggleAttribute("hidden", !element("toggle").checked);

  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && (event.target.closest("button") || !String(window.getSelection()))) open(row);
  });
  element("slider").addEventListener("input", showSlice);
  element("toggle").addEventListener("change", toggle);
  element("stage").addEventListener("wheel", (event) => {
    event.preventDefault();
    step(Math.sign(event.deltaY));
  }, { passive: false });
  element("before").addEventListener("click", () => open(neighbours()[0]));
  element("after").addEventListener("click", () => open(neighbours()[1]));
  element("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => {
    if (event.target === viewer) viewer.close(); // beside it
  });
  viewer.addEventListener("close", () => current?.querySelector(".open").focus());
  viewer.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "c") {
      element("toggle").checked = !element("toggle").checked;
      toggle();
    } else if (event.target.id !== "slider" && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      step(event.key === "ArrowLeft" ? -1 : 1);
    }
  });
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
    for (const image of document.querySelectorAll("img[loading=lazy]")) image.loading = "eager";
  });
})();

// Tables sort by a click on their header, missing values last; videos of a group play in step.
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.querySelectorAll("th")];
  headers.forEach((header, column) => {
    const value = (row) => {
      const { dataset, innerText } = row.cells[column];
      return dataset.value === undefined ? innerText : Number(dataset.value);
    };
    const sort = () => {
      const isRising = header.getAttribute("aria-sort") !== "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", isRising ? "ascending" : "descending");
      const hasNumbers = [...table.tBodies[0].rows].some((row) => typeof value(row) === "number");
      const isMissing = (found) => hasNumbers && typeof found !== "number";
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (isMissing(x) || isMissing(y)) return isMissing(x) - isMissing(y);
        const difference = hasNumbers ? x - y : x.localeCompare(y, undefined, { numeric: true });
        return isRising ? difference : -difference;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    };
    header.tabIndex = 0;
    header.onclick = sort;
    header.onkeydown = (event) => event.key === "Enter" && sort();
  });
}
for (const group of document.querySelectorAll(".sync")) {
  const videos = [...group.querySelectorAll("video")];
  const follow = (leader) =>
    videos.forEach((video) => {
      if (video !== leader && Math.abs(video.currentTime - leader.currentTime) > 0.08) {
        video.currentTime = leader.currentTime;
      }
    });
  videos.forEach((video) => (video.onplay = video.onseeking = () => follow(video)));
}

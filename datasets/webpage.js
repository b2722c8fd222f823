// Tables sort by a click on their header; videos of a group play in step.
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("th").forEach((header, column) => {
    let ascending = false;
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].innerText;
    header.onclick = () => {
      ascending = !ascending;
      const body = table.tBodies[0];
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        const difference = x - y;
        return (isNaN(difference) ? x.localeCompare(y) : difference) * (ascending ? 1 : -1);
      };
      [...body.rows].sort(compare).forEach((row) => body.append(row));
    };
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

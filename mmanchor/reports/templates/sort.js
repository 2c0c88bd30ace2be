for (const head of document.querySelectorAll('th')) {
  head.addEventListener('click', () => {
    const body = head.closest('table').tBodies[0];
    const column = head.cellIndex;
    const down = head.dataset.order !== 'down';
    for (const other of head.parentNode.cells) delete other.dataset.order;
    head.dataset.order = down ? 'down' : 'up';
    const key = (row) => {
      const cell = row.cells[column];
      const value = parseFloat(cell.dataset.value ?? cell.textContent);
      return Number.isNaN(value) ? cell.textContent : value;
    };
    const isNothing = (row) => row.cells[column].textContent === '-';
    const rows = [...body.rows].sort((a, b) => {
      if (isNothing(a) || isNothing(b)) return isNothing(a) - isNothing(b);
      const [x, y] = [key(a), key(b)];
      const order = typeof x === 'number' && typeof y === 'number' ? y - x
        : -String(x).localeCompare(String(y));
      // Text begins with A, numbers with the largest.
      return (typeof x === 'number') === down ? order : -order;
    });
    body.append(...rows);
  });
}

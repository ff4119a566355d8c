"""Questions on bookkeeping as a spreadsheet holds them before anybody has looked after it."""

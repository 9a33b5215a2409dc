package order

// The codes of rejections. They are part of the API: they never change their meaning.
const (
	// CodeNotFound: there is no such order; all commands but PlaceOrder.
	CodeNotFound = "order_not_found"
	// CodeAlreadyPlaced: there is such an order already, whatever its status; PlaceOrder.
	CodeAlreadyPlaced = "order_already_placed"
	// CodeAlreadyPaid: the order is paid, and may be shipped and delivered by now; PayOrder, AddLine, RemoveLine.
	CodeAlreadyPaid = "order_already_paid"
	// CodeNotPaid: the order is not paid yet; ShipOrder.
	CodeNotPaid = "order_not_paid"
	// CodeAlreadyShipped: the order is shipped, and may be delivered by now; ShipOrder, CancelOrder.
	CodeAlreadyShipped = "order_already_shipped"
	// CodeNotShipped: the order is not shipped yet; DeliverOrder.
	CodeNotShipped = "order_not_shipped"
	// CodeAlreadyDelivered: the order is delivered; DeliverOrder.
	CodeAlreadyDelivered = "order_already_delivered"
	// CodeCancelled: the order is cancelled; all commands but PlaceOrder, CancelOrder and AnnotateOrder.
	CodeCancelled = "order_cancelled"
	// CodeLineExists: the order has a line of that sku; AddLine, PlaceOrder.
	CodeLineExists = "order_line_exists"
	// CodeLineNotFound: the order has no line of that sku; RemoveLine.
	CodeLineNotFound = "order_line_not_found"
	// CodeHasOneLine: it is the order's last line; RemoveLine.
	CodeHasOneLine = "order_has_one_line"
	// CodeTooManyLines: the order has MaxLines lines; AddLine.
	CodeTooManyLines = "order_has_too_many_lines"
	// CodeCurrencyMismatch: the line's currency is not the order's; AddLine, PlaceOrder.
	CodeCurrencyMismatch = "currency_mismatch"
	// CodeAmountTooLarge: the total of the line or of the order is beyond 92,233,720,368,547,758.07; AddLine, PlaceOrder.
	CodeAmountTooLarge = "amount_too_large"
)

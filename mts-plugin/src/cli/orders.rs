//! `mts orders`.

use std::path::Path;
use std::sync::Arc;

use mts_plugin::store::{Order, Store};
use mts_plugin::{Home, Merchant, Settings, Shop, ShopLine};
use protocol::ids::TransactionNumber;
use protocol::money::Asset;
use protocol::order::OrderState;
use protocol::purchase::{Address, LoyaltyId};
use protocol::quote::Quote;
use serde_json::json;

use super::{Failure, OrdersArguments, OrdersCommand, print};

/// The commands here sell nothing and are told nothing: the serving process announces paid orders.
struct Closed;

impl Shop for Closed {
    fn asset(&self) -> Asset {
        Asset::USD6
    }

    fn line(&self, _: &str, _: u32) -> Option<ShopLine> {
        None
    }

    fn goods(&self, _: &Quote) -> Option<std::path::PathBuf> {
        None
    }
}

pub(super) fn orders(directory: &Path, arguments: OrdersArguments, as_json: bool) -> Result<(), Failure> {
    let home = Home::open(directory)?;
    let store = Store::open(&home.orders_path())?;
    match arguments.command {
        None => {
            let state = arguments.state.as_deref().map(parse_state).transpose()?;
            list(&store.list(state, arguments.limit)?, as_json);
        }
        Some(OrdersCommand::Show { number }) => {
            let order = store.order(number)?.ok_or_else(|| unknown(number))?;
            let mut value = summary(&order);
            value["address"] = json!(order.address.as_ref().map(Address::expose));
            value["quote"] = json!(order.quote);
            value["surplus"] = json!(store.surplus(Some(number))?);
            let text = serde_json::to_string_pretty(&value)?;
            print(as_json, &value, &text);
        }
        Some(OrdersCommand::Surplus) => {
            let surplus = store.surplus(None)?;
            let lines: Vec<_> = surplus
                .iter()
                .map(|one| format!("{}  order {}  {}", one.payment, one.number, one.recorded_at))
                .collect();
            print(as_json, &json!(surplus), &lines.join("\n"));
        }
        Some(OrdersCommand::Dispatched { number }) => with_merchant(home, |merchant| {
            merchant.dispatched(number).map_err(|refusal| Failure::Refused(refusal.code.to_string()))?;
            let order = merchant.store().order(number)?.ok_or_else(|| unknown(number))?;
            print(as_json, &summary(&order), &format!("{number}  {}", order.state));
            Ok(())
        })?,
    }
    Ok(())
}

/// Has something done with the merchant's orders beside the serving process.
pub(super) fn with_merchant(home: Home, work: impl FnOnce(&Merchant) -> Result<(), Failure>) -> Result<(), Failure> {
    work(&Merchant::open_quietly(home, Arc::new(Closed), Settings::default())?)
}

pub(super) fn unknown(number: TransactionNumber) -> Failure {
    Failure::Refused(format!("there is no order {number} here"))
}

fn parse_state(text: &str) -> Result<OrderState, Failure> {
    OrderState::from_text(text).ok_or_else(|| {
        let known: Vec<_> = OrderState::ALL.iter().map(|state| state.text()).collect();
        Failure::Refused(format!("`{text}` is not a state; known are {}", known.join(", ")))
    })
}

pub(super) fn summary(order: &Order) -> serde_json::Value {
    json!({
        "number": order.quote.number,
        "state": order.state.text(),
        "total": order.quote.total,
        "asset": order.quote.asset,
        "goods": order.quote.goods,
        "issued_at_ms": order.quote.issued_at,
        "paid_at_ms": order.paid_at,
        "delivered_at_ms": order.delivered_at,
        "payment": order.payment,
        "refund": order.refund_status,
        "loyalty_id": order.loyalty_id.as_ref().map(LoyaltyId::expose),
    })
}

fn list(orders: &[Order], as_json: bool) {
    let values: Vec<_> = orders.iter().map(summary).collect();
    let mut lines = vec![format!("{:<32}  {:<26}  {:>16}  items", "number", "state", "total")];
    lines.extend(orders.iter().map(|order| {
        let items: Vec<_> = order.quote.items.iter().map(|item| format!("{} x {}", item.quantity, item.code)).collect();
        let total = format!("{} {}", order.quote.total.units(), order.quote.asset);
        // Quoted: the customer chose the text, and it must not pass for another column.
        let by = order.loyalty_id.as_ref().map(|id| format!("  by {:?}", id.expose())).unwrap_or_default();
        format!("{}  {:<26}  {total:>16}  {}{by}", order.quote.number, order.state.text(), items.join(", "))
    }));
    print(as_json, &json!(values), &lines.join("\n"));
}
